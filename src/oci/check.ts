/**
 * The validation kit: small checks that the documents' shapes are composed of, and the refusal that names the field. What
 * makes checks is marked to be without side effects, so that bundlers leave out the shapes that nobody uses; for their sake
 * shapes neither spread others nor read properties.
 */
import { type ErrorCode, StowageError } from '../errors.ts';

/** Makes the error for one wrong field; `code` where a part of a document has a code of its own. */
export type Refuse = (field: string, expected: string, actual: unknown, code?: ErrorCode) => StowageError;

/**
 * Gives the value back, cleaned where the specification allows two spellings, or throws what `refuse` makes. `siblings`
 * are the fields of the same object, those before this one checked already.
 */
export type Check<T> = (value: unknown, field: string, refuse: Refuse, siblings?: Record<string, unknown>) => T;

/** Refusals for one document; `what` is the subject of the sentence, such as `manifest sha256:…`. */
export function refusal(code: ErrorCode, what: string): Refuse {
  return (field, expected, value, own = code) => {
    const actual = show(value);
    const message = `${what}: ${field || 'it'} must be ${expected}, but is ${actual}.`;
    return new StowageError(own, message, { what, field, expected, actual });
  };
}

/** A value in a sentence: short, whatever it is. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (Array.isArray(value)) return 'an array';
  return isObject(value) ? 'an object' : String(value ?? 'missing');
}

/** A value that passes a test. */
/* @__NO_SIDE_EFFECTS__ */
export function scalar<T>(expected: string, test: (value: unknown) => boolean): Check<T> {
  return (value, field, refuse) => {
    if (!test(value)) throw refuse(field, expected, value);
    return value as T;
  };
}

/* @__NO_SIDE_EFFECTS__ */
function typed<T>(type: 'string' | 'boolean'): Check<T> {
  return scalar(`a ${type}`, (value) => typeof value === type);
}

/** A text of one of these forms. */
/* @__NO_SIDE_EFFECTS__ */
export function grammar(expected: string, ...forms: RegExp[]): Check<string> {
  return scalar(expected, (value) => typeof value === 'string' && forms.some((form) => form.test(value)));
}

/** One value alone. */
/* @__NO_SIDE_EFFECTS__ */
export function literal<T>(only: T): Check<T> {
  return scalar(String(only), (value) => value === only);
}

export const string: Check<string> = typed('string');
export const boolean: Check<boolean> = typed('boolean');
export const integer: Check<number> = scalar('an integer', Number.isSafeInteger);
export const object: Check<Record<string, unknown>> = scalar('an object', isObject);

/** RFC 3339, section 5.6. Not `Date.parse`: runtimes disagree on what else it takes. */
export const dateTime: Check<string> = scalar('a date and time of RFC 3339', (value) => {
  const [, day] =
    /^(\d{4}-\d\d-\d\d)T([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/i.exec(
      String(value),
    ) ?? [];
  // Where a month has no such day, runtimes give another day or none.
  return !!day && !!new Date(day).toJSON()?.startsWith(day);
});

/** RFC 6838, section 4.2; parameters, which the registry does not name, may follow. */
export const mediaType: Check<string> = grammar(
  'a media type of RFC 6838',
  /^[a-z\d][\w!#$&^.+-]{0,126}\/[a-z\d][\w!#$&^.+-]{0,126}(\s*;.*)?$/i,
);

/* @__NO_SIDE_EFFECTS__ */
export function list<T>(item: Check<T>): Check<T[]> {
  return (value, field, refuse) => {
    if (!Array.isArray(value)) throw refuse(field, 'an array', value);
    return value.map((entry, index) => item(entry, `${field}[${index}]`, refuse));
  };
}

/* @__NO_SIDE_EFFECTS__ */
export function map<T>(item: Check<T>): Check<Record<string, T>> {
  return (value, field, refuse) => {
    for (const [key, entry] of Object.entries(object(value, field, refuse)))
      item(entry, `${field}[${show(key)}]`, refuse);
    return value as Record<string, T>;
  };
}

/**
 * An object with known fields, all optional but the `required`. The copy that it gives has them in the order of `shape`,
 * then the unknown ones; a field that is optional and null is as absent (config.md, Properties).
 */
/* @__NO_SIDE_EFFECTS__ */
export function record<T>(
  shape: Record<string, Check<unknown>>,
  required: readonly string[] = [],
  code?: ErrorCode,
): Check<T> {
  const fields = Object.entries(shape);
  const blank = inOrder(Object.keys(shape));
  return (value, field, refuse) => {
    const own: Refuse = (at, expected, actual, its = code) => refuse(at, expected, actual, its);
    // A spread defines fields and never calls the setter of `__proto__`.
    const copy: Record<string, unknown> = { ...blank, ...object(value, field, own) };
    for (const [key, check] of fields) {
      if (copy[key] == null && !required.includes(key)) delete copy[key];
      else copy[key] = check(copy[key], field ? `${field}.${key}` : key, own, copy);
    }
    return copy as T;
  };
}

/** These keys in their order, to be spread before a value: what stands first keeps its place. */
export function inOrder(keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(keys.map((key) => [key, undefined]));
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
