// What a C++ program needs for exceptions and the toolchain's libraries lack: the Itanium ABI's functions, and the personality routine, over the
// instructions of WebAssembly (LLVM's scheme: a landing pad sets __wasm_lpad_context and asks which of its handlers fits). No threads, no specifications.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <typeinfo>

asm(".globl __cpp_exception\n.tagtype __cpp_exception i32\n__cpp_exception:\n");

namespace {

struct Header {
  std::type_info *type;
  // Destructors return their object in WebAssembly.
  void *(*destroy)(void *);
  void *adjusted;
  int handlers;
  bool rethrown;
  Header *outer;
  // The object is behind it.
  alignas(16) unsigned char object[];
};

Header *caught = nullptr;

Header *header_of(void *object) { return reinterpret_cast<Header *>(static_cast<unsigned char *>(object) - offsetof(Header, object)); }

// The part of libc++abi's private class that tells whether a handler's type fits.
struct Catchable : std::type_info {
  virtual void noop1() const;
  virtual void noop2() const;
  virtual bool can_catch(const Catchable *thrown, void *&adjusted) const = 0;
};

uintptr_t uleb(const uint8_t *&p) {
  uintptr_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    uint8_t byte = *p++;
    value |= static_cast<uintptr_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
}

intptr_t sleb(const uint8_t *&p) {
  intptr_t value = 0;
  unsigned shift = 0;
  uint8_t byte;
  do {
    byte = *p++;
    value |= static_cast<intptr_t>(byte & 0x7f) << shift;
    shift += 7;
  } while (byte >= 0x80);
  return shift < 32 && (byte & 0x40) != 0 ? value | -(static_cast<intptr_t>(1) << shift) : value;
}

}  // namespace

extern "C" {

struct {
  uintptr_t index;
  const uint8_t *lsda;
  uintptr_t selector;
} __wasm_lpad_context;

int __gxx_wasm_personality_v0() { std::abort(); }

// Which handler of the landing pad takes the exception: 0, none.
int _Unwind_CallPersonality(void *exception) {
  Header *e = static_cast<Header *>(exception);
  __wasm_lpad_context.selector = 0;
  const uint8_t *p = __wasm_lpad_context.lsda;
  if (p == nullptr) return 0;
  if (*p++ != 0xff) std::abort();
  const uint8_t *types = nullptr;
  if (*p++ != 0xff) {
    uintptr_t offset = uleb(p);
    types = p + offset;
  }
  p++;
  uintptr_t length = uleb(p);
  const uint8_t *actions = p + length;
  for (uintptr_t k = 0; k < __wasm_lpad_context.index; k++) {
    uleb(p);
    uleb(p);
  }
  uleb(p);
  uintptr_t action = uleb(p);
  if (action == 0) return 0;
  for (const uint8_t *at = actions + action - 1;;) {
    intptr_t filter = sleb(at);
    const uint8_t *here = at;
    intptr_t next = sleb(at);
    if (filter > 0) {
      const Catchable *wanted;
      std::memcpy(&wanted, types - filter * sizeof wanted, sizeof wanted);
      e->adjusted = e->object;
      if (wanted == nullptr || wanted->can_catch(static_cast<const Catchable *>(e->type), e->adjusted)) {
        __wasm_lpad_context.selector = static_cast<uintptr_t>(filter);
        return 0;
      }
    }
    if (next == 0) return 0;
    at = here + next;
  }
}

void *__cxa_allocate_exception(size_t size) noexcept {
  Header *h = static_cast<Header *>(std::calloc(1, sizeof(Header) + size));
  return h->object;
}
void __cxa_free_exception(void *object) noexcept { std::free(header_of(object)); }

[[noreturn]] void __cxa_throw(void *object, std::type_info *type, void *(*destroy)(void *)) {
  Header *h = header_of(object);
  h->type = type;
  h->destroy = destroy;
  __builtin_wasm_throw(0, h);
}

void *__cxa_begin_catch(void *exception) noexcept {
  Header *h = static_cast<Header *>(exception);
  h->rethrown = false;
  if (h->handlers++ == 0) {
    h->outer = caught;
    caught = h;
  }
  return h->adjusted;
}

void __cxa_end_catch() {
  Header *h = caught;
  if (--h->handlers != 0) return;
  caught = h->outer;
  if (h->rethrown) return;
  if (h->destroy != nullptr) h->destroy(h->object);
  std::free(h);
}

[[noreturn]] void __cxa_rethrow() {
  if (caught == nullptr) std::terminate();
  caught->rethrown = true;
  __builtin_wasm_throw(0, caught);
}

void *__cxa_get_exception_ptr(void *exception) noexcept { return static_cast<Header *>(exception)->adjusted; }
}
