/** Calls on sockets that were granted, and on connections accepted from them. A guest can't make any. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "wasi_internal.h"

/** The socket with a right, or NULL. */
static wasi_fd *socket_with(const wasi_call *c, uint64_t right, wasi_errno *error) {
  wasi_fd *fd = wasi_fd_get(c, wasi_arg(c, 0));
  if (fd == NULL) {
    *error = WASI_EBADF;
    return NULL;
  }
  if (fd->filetype != WASI_FILETYPE_SOCKET_STREAM && fd->filetype != WASI_FILETYPE_SOCKET_DGRAM) {
    *error = WASI_ENOTSOCK;
    return NULL;
  }
  return wasi_fd_with(c, wasi_arg(c, 0), right, error);
}

/** After a call on the socket failed: 0 if it is to be tried again, else an errno. */
static int wait_again(const wasi_call *c, const wasi_fd *fd, short events) {
  if (errno == EINTR) return lucet_vmctx_terminating(c->vm) ? EINTR : 0;
  if (errno != EAGAIN || (fd->fdflags & WASI_FDFLAG_NONBLOCK) != 0) return errno;
  return wasi_wait_for(c, fd->host, events);
}

wasi_errno wasi_do_sock_accept(const wasi_call *c) {
  wasi_errno error;
  wasi_fd *fd = socket_with(c, WASI_RIGHT_SOCK_ACCEPT, &error);
  if (fd == NULL) return error;
  uint32_t flags = wasi_arg(c, 1) & 0xffff;
  uint32_t result_at = wasi_arg(c, 2);
  if ((flags & ~(uint32_t)WASI_FDFLAG_NONBLOCK) != 0) return WASI_EINVAL;
  if (wasi_memory(c, result_at, 4) == NULL) return WASI_EFAULT;
  int host;
  for (;;) {
    // The listening socket's own flags are the host's: wait until there is someone, then accept. Another may be faster
    // if it is shared, and the call would then block if the host left the socket so.
    struct pollfd p = {.fd = fd->host, .events = POLLIN};
    int ready = poll(&p, 1, 0);
    if (ready > 0) host = accept4(fd->host, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    else {
      host = -1;
      if (ready == 0) errno = EAGAIN;
    }
    if (host >= 0) break;
    int failed = wait_again(c, fd, POLLIN);
    if (failed != 0) return wasi_errno_of(failed);
  }
  wasi_fd connection = {
      .kind = WASI_FD_HOST,
      .filetype = fd->filetype,
      .owned = true,
      .described = true,
      .blocks = WASI_BLOCKS_NOT,
      .fdflags = (uint16_t)flags,
      .host = host,
      .rights_base = fd->rights_inheriting,
      .rights_inheriting = fd->rights_inheriting,
  };
  uint32_t number;
  error = wasi_errno_of(wasi_fd_add(c->ctx, &connection, 0, &number));
  if (error != WASI_OK) {
    close(host);
    return error;
  }
  wasi_store32(c, result_at, number);
  return WASI_OK;
}

wasi_errno wasi_do_sock_recv(const wasi_call *c) {
  wasi_errno error;
  wasi_fd *fd = socket_with(c, WASI_RIGHT_FD_READ, &error);
  if (fd == NULL) return error;
  uint32_t flags = wasi_arg(c, 3) & 0xffff;
  uint32_t length_at = wasi_arg(c, 4);
  uint32_t flags_at = wasi_arg(c, 5);
  if ((flags & ~(uint32_t)(WASI_RIFLAG_PEEK | WASI_RIFLAG_WAITALL)) != 0) return WASI_EINVAL;
  struct iovec vec[WASI_MAX_VECTORS];
  uint64_t total;
  int n = wasi_gather(c, wasi_arg(c, 1), wasi_arg(c, 2), vec, &total);
  if (n < 0 || wasi_memory(c, length_at, 4) == NULL || wasi_memory(c, flags_at, 2) == NULL) return WASI_EFAULT;
  bool whole = (flags & WASI_RIFLAG_WAITALL) != 0 && fd->filetype == WASI_FILETYPE_SOCKET_STREAM;
  bool peek = (flags & WASI_RIFLAG_PEEK) != 0;
  struct msghdr m = {.msg_iov = vec, .msg_iovlen = (size_t)n};
  uint64_t moved = 0;
  for (;;) {
    // No room for control messages: descriptors that someone sends along are closed by the kernel.
    ssize_t got = recvmsg(fd->host, &m, MSG_DONTWAIT | (peek ? MSG_PEEK : 0));
    if (got < 0) {
      int failed = moved > 0 && (fd->fdflags & WASI_FDFLAG_NONBLOCK) != 0 ? errno : wait_again(c, fd, POLLIN);
      if (failed == 0) continue;
      if (moved > 0) break;
      return wasi_errno_of(failed);
    }
    moved += (uint64_t)got;
    if (got == 0 || !whole || peek || moved >= total) break;
    // The rest goes behind what has come.
    size_t skip = (size_t)got;
    while (skip > 0) {
      size_t k = skip < m.msg_iov->iov_len ? skip : m.msg_iov->iov_len;
      m.msg_iov->iov_base = (uint8_t *)m.msg_iov->iov_base + k;
      m.msg_iov->iov_len -= k;
      skip -= k;
      if (m.msg_iov->iov_len == 0) {
        m.msg_iov++;
        m.msg_iovlen--;
      }
    }
  }
  uint16_t told = (m.msg_flags & MSG_TRUNC) != 0 ? WASI_ROFLAG_DATA_TRUNCATED : 0;
  wasi_store32(c, length_at, (uint32_t)moved);
  wasi_store(c, flags_at, &told, sizeof told);
  return WASI_OK;
}

wasi_errno wasi_do_sock_send(const wasi_call *c) {
  wasi_errno error;
  wasi_fd *fd = socket_with(c, WASI_RIGHT_FD_WRITE, &error);
  if (fd == NULL) return error;
  uint32_t result_at = wasi_arg(c, 4);
  if ((wasi_arg(c, 3) & 0xffff) != 0) return WASI_EINVAL;
  struct iovec vec[WASI_MAX_VECTORS];
  uint64_t total;
  int n = wasi_gather(c, wasi_arg(c, 1), wasi_arg(c, 2), vec, &total);
  if (n < 0 || wasi_memory(c, result_at, 4) == NULL) return WASI_EFAULT;
  if (!wasi_allow_writing(c->ctx, vec, &n, &total)) return WASI_EDQUOT;
  struct msghdr m = {.msg_iov = vec, .msg_iovlen = (size_t)n};
  ssize_t sent;
  while ((sent = sendmsg(fd->host, &m, MSG_DONTWAIT | MSG_NOSIGNAL)) < 0) {
    int failed = wait_again(c, fd, POLLOUT);
    if (failed != 0) return wasi_errno_of(failed);
  }
  c->ctx->written += (uint64_t)sent;
  wasi_store32(c, result_at, (uint32_t)sent);
  return WASI_OK;
}

wasi_errno wasi_do_sock_shutdown(const wasi_call *c) {
  static const int hows[] = {-1, SHUT_RD, SHUT_WR, SHUT_RDWR};
  wasi_errno error;
  const wasi_fd *fd = socket_with(c, WASI_RIGHT_SOCK_SHUTDOWN, &error);
  if (fd == NULL) return error;
  uint32_t how = wasi_arg(c, 1) & 0xff;
  if (how == 0 || how >= sizeof hows / sizeof *hows) return WASI_EINVAL;
  return shutdown(fd->host, hows[how]) == 0 ? WASI_OK : wasi_errno_of(errno);
}
