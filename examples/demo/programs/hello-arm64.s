// Writes /etc/motd to standard output, with no libc, so that the demo's image has a real program on any machine.
//   aarch64-linux-gnu-as hello-arm64.s -o hello.o && aarch64-linux-gnu-ld -n -s hello.o -o linux-arm64
.globl _start
.text
_start:
  mov x8, #56             // openat(AT_FDCWD, "/etc/motd", O_RDONLY)
  mov x0, #-100
  adr x1, path
  mov x2, #0
  svc #0
  tbnz x0, #63, fail
  sub sp, sp, #4096
  mov x8, #63             // read(file, buffer, 4096)
  mov x1, sp
  mov x2, #4096
  svc #0
  mov x2, x0              // write(1, buffer, read)
  mov x8, #64
  mov x0, #1
  mov x1, sp
  svc #0
  mov x0, #0
  b exit
fail:
  mov x0, #1
exit:
  mov x8, #93
  svc #0
path: .asciz "/etc/motd"
