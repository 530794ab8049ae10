# Writes /etc/motd to standard output, with no libc, so that the demo's image has a real program on any machine.
#   as hello-amd64.s -o hello.o && ld -n -s hello.o -o linux-amd64
.globl _start
.text
_start:
  mov $2, %eax            # open("/etc/motd", O_RDONLY)
  lea path(%rip), %rdi
  xor %esi, %esi
  syscall
  test %eax, %eax
  js fail
  mov %eax, %r8d
  sub $4096, %rsp
  xor %eax, %eax          # read(file, buffer, 4096)
  mov %r8d, %edi
  mov %rsp, %rsi
  mov $4096, %edx
  syscall
  mov %eax, %edx          # write(1, buffer, read)
  mov $1, %eax
  mov $1, %edi
  mov %rsp, %rsi
  syscall
  xor %edi, %edi
  jmp exit
fail:
  mov $1, %edi
exit:
  mov $60, %eax
  syscall
path: .asciz "/etc/motd"
