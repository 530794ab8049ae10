/** An answer in JSON. `Response.json` names its type differently from runtime to runtime. */

export function jsonResponse(value: unknown, headers: Headers): Response {
  headers.set('Content-Type', 'application/json');
  return new Response(JSON.stringify(value), { headers });
}
