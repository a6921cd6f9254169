/** Attacks on the process and by sockets; contexts that are used again. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "world.h"

/* ---------------------------------------------------------------------------------------------------- Process and sockets */

void process(void) {
  IS(CALL(&vm, proc_raise, 0), WASI_OK);
  IS(CALL(&vm, proc_raise, 6), EXITED);
  CHECK(vm.exit_code == 128 + SIGABRT);
  IS(CALL(&vm, proc_raise, 10), EXITED);
  CHECK(vm.exit_code == 128 + SIGUSR1);
  IS(CALL(&vm, proc_raise, 9), EXITED);
  CHECK(vm.exit_code == 137);
  IS(CALL(&vm, proc_raise, 16), WASI_OK);
  IS(CALL(&vm, proc_raise, 18), WASI_ENOTSUP);
  IS(CALL(&vm, proc_raise, 31), WASI_EINVAL);
  IS(CALL(&vm, proc_exit, 300), EXITED);
  CHECK(vm.exit_code == 300);
}

void sockets(void) {
  int pair[2], listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "e/socket"};
  must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0 && listening >= 0, "socketpair");
  must(bind(listening, (struct sockaddr *)&address, sizeof address) == 0 && listen(listening, 4) == 0, "listen");
  lucet_wasi_template *t = lucet_wasi_template_new();
  must(lucet_wasi_template_socket(t, pair[0]) == 0 && lucet_wasi_template_socket(t, listening) == 0 && lucet_wasi_template_socket(t, d_fd) == ENOTSOCK, "grant");
  lucet_wasi_ctx *own = lucet_wasi_ctx_new(t), *saved = vm.ctx;
  vm.ctx = own;
  uint32_t result = room(4), flags = room(4), buffer = room(64);
  wasi_ciovec v[2] = {{buffer, 3}, {buffer + 3, 5}};
  uint32_t vector = put(v, sizeof v);
  memcpy(vm.memory + buffer, "hello, socket", 13);
  char got[64];
  IS(CALL(&vm, sock_send, 3, vector, 2, 0, result), WASI_OK);
  CHECK(load32(result) == 8 && recv(pair[1], got, sizeof got, 0) == 8 && memcmp(got, "hello, s", 8) == 0);
  IS(CALL(&vm, sock_send, 3, vector, 2, 1, result), WASI_EINVAL);
  IS(CALL(&vm, sock_send, 3, MEMORY - 4, 1, 0, result), WASI_EFAULT);
  IS(CALL(&vm, sock_send, 3, vector, 2, 0, MEMORY), WASI_EFAULT);
  IS(CALL(&vm, fd_fdstat_set_flags, 3, WASI_FDFLAG_NONBLOCK), WASI_OK);
  CHECK((fcntl(pair[0], F_GETFL) & O_NONBLOCK) == 0);
  IS(CALL(&vm, sock_recv, 3, vector, 2, 0, result, flags), WASI_EAGAIN);
  IS(move("fd_read", 3, buffer, 4), -WASI_EAGAIN);
  must(send(pair[1], "abcdefgh", 8, 0) == 8, "send");
  IS(CALL(&vm, sock_recv, 3, vector, 2, WASI_RIFLAG_PEEK, result, flags), WASI_OK);
  CHECK(load32(result) == 8);
  IS(CALL(&vm, sock_recv, 3, vector, 2, WASI_RIFLAG_WAITALL, result, flags), WASI_OK);
  CHECK(load32(result) == 8 && memcmp(vm.memory + buffer, "abcdefgh", 8) == 0);
  IS(CALL(&vm, sock_recv, 3, vector, 2, 4, result, flags), WASI_EINVAL);
  IS(CALL(&vm, sock_recv, 3, vector, 2, 0, MEMORY, flags), WASI_EFAULT);
  IS(CALL(&vm, sock_recv, 3, vector, 2, 0, result, MEMORY - 1), WASI_EFAULT);
  IS(CALL(&vm, sock_accept, 3, 0, result), WASI_ENOTCAPABLE);
  IS(CALL(&vm, fd_seek, 3, 1, 0, result), WASI_ESPIPE);
  // Listening: nobody is there, then somebody is.
  IS(CALL(&vm, fd_fdstat_set_flags, 4, WASI_FDFLAG_NONBLOCK), WASI_OK);
  IS(CALL(&vm, sock_accept, 4, 0, result), WASI_EAGAIN);
  IS(CALL(&vm, sock_accept, 4, 1, result), WASI_EINVAL);
  int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  must(connect(peer, (struct sockaddr *)&address, sizeof address) == 0, "connect");
  IS(CALL(&vm, sock_accept, 4, 0, MEMORY), WASI_EFAULT);
  IS(CALL(&vm, sock_accept, 4, WASI_FDFLAG_NONBLOCK, result), WASI_OK);
  uint32_t connection = load32(result);
  IS(move("fd_write", (int)connection, buffer, 5), 5);
  CHECK(recv(peer, got, sizeof got, 0) == 5);
  IS(CALL(&vm, sock_accept, connection, 0, result), WASI_ENOTCAPABLE);
  IS(CALL(&vm, sock_shutdown, connection, 0), WASI_EINVAL);
  IS(CALL(&vm, sock_shutdown, connection, 4), WASI_EINVAL);
  IS(CALL(&vm, sock_shutdown, connection, 3), WASI_OK);
  CHECK(recv(peer, got, sizeof got, 0) == 0);
  IS(CALL(&vm, sock_shutdown, 0, 3), WASI_ENOTSOCK);
  IS(CALL(&vm, sock_recv, 1, vector, 2, 0, result, flags), WASI_ENOTSOCK);
  // Nobody is left: an error, not the host's death.
  close(pair[1]);
  IS(move("fd_write", 3, buffer, 4), -WASI_EPIPE);
  IS(CALL(&vm, sock_send, 3, vector, 2, 0, result), WASI_EPIPE);
  vm.ctx = saved;
  lucet_wasi_ctx_free(own);
  lucet_wasi_template_release(t);
  CHECK(fcntl(pair[0], F_GETFD) >= 0);
  close(pair[0]);
  close(peer);
  close(listening);
  unlink("e/socket");
}

/** Nothing of one guest is left for the next on the same context. */
void reuse(void) {
  lucet_wasi_template *t = lucet_wasi_template_new();
  lucet_wasi_template_set_stdio(t, 1, LUCET_WASI_STDIO_BUFFER, -1);
  must(lucet_wasi_template_preopen(t, "d", "/d", 0) == 0, "preopen");
  lucet_wasi_ctx *own = lucet_wasi_ctx_new(t), *saved = vm.ctx;
  vm.ctx = own;
  must(lucet_wasi_ctx_set_input(own, "first guest", 11) == 0 && lucet_wasi_ctx_set_args(own, "secret", 7, 1) == 0, "input");
  uint32_t buffer = room(64), sizes = room(8);
  IS(move("fd_read", 0, buffer, 5), 5);
  IS(move("fd_write", 1, buffer, 5), 5);
  int kept = open_at(3, 0, "file", 0, READ);
  CHECK(kept >= 0);
  IS(CALL(&vm, fd_close, 3), WASI_OK);
  lucet_wasi_ctx_reset(own);
  IS(move("fd_read", kept, buffer, 5), -WASI_EBADF);
  IS(move("fd_read", 0, buffer, 5), 0);
  IS(CALL(&vm, args_sizes_get, sizes, sizes + 4), WASI_OK);
  CHECK(load32(sizes) == 0);
  size_t length;
  lucet_wasi_ctx_output(own, 1, &length);
  CHECK(length == 0);
  CHECK(open_at(3, 0, "file", 0, READ) >= 0);
  vm.ctx = saved;
  lucet_wasi_ctx_free(own);
  lucet_wasi_template_release(t);
}
