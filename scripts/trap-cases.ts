/** Programs that trap, each with what a report of it must say. `HERE` marks the line that the report has to lead to. */

export interface TrapCase {
  readonly name: string;
  readonly language: 'c' | 'cpp' | 'rust' | 'assemblyscript' | 'wat';
  /** Of the compiler, beside -g. */
  readonly flags?: readonly string[];
  readonly source: string;
  readonly code: string;
  /** The program's own functions, innermost first, as far as they matter; inlined ones included. */
  readonly frames: readonly string[];
  readonly says: RegExp;
}

const c = (
  name: string,
  source: string,
  code: string,
  frames: string,
  says: RegExp,
  flags = ['-O1'],
): TrapCase => ({
  name,
  language: 'c',
  flags,
  source,
  code,
  frames: frames.split(' '),
  says,
});
const cpp = (
  name: string,
  source: string,
  code: string,
  frames: string,
  says: RegExp,
  flags = ['-O0'],
): TrapCase => ({
  ...c(name, source, code, frames, says, flags),
  language: 'cpp',
});
const rust = (
  name: string,
  source: string,
  frames: string,
  says: RegExp,
  code = 'Unreachable',
): TrapCase => ({
  ...c(name, source, code, frames, says, []),
  language: 'rust',
});
const as = (name: string, source: string, code: string, frames: string, says: RegExp): TrapCase => ({
  ...c(name, source, code, frames, says, []),
  language: 'assemblyscript',
});
const wat = (name: string, source: string, code: string, frames: string, says: RegExp): TrapCase => ({
  ...c(name, source, code, frames, says, []),
  language: 'wat',
});

const NOINLINE = '#define N __attribute__((noinline))\n';

export const TRAP_CASES: readonly TrapCase[] = [
  c(
    'read-far',
    `${NOINLINE}N int load(int *p, unsigned i) {
  return p[i]; // HERE
}
N int middle(int *p) { return load(p, 0x10000000) + 1; }
int main(void) { int a[4] = {1}; return middle(a); }`,
    'HeapOutOfBounds',
    'load middle main',
    /^Read 4 bytes at 0x4\w+, but the memory has 0x\w+ bytes \(\d+ pages\): [\d,]+ bytes beyond its end\.$/,
  ),
  c(
    'write-just-beyond',
    `${NOINLINE}N void fill(char *p) {
  for (;;) *p++ = 1; // HERE
}
int main(void) { static char b[8]; fill(b); return 0; }`,
    'HeapOutOfBounds',
    'fill main',
    /^Wrote 1 byte at 0x\w+0000, .*: the first byte beyond its end\.$/,
    ['-O0'],
  ),
  c(
    'negative-index',
    `${NOINLINE}N double pick(double *p, int i) {
  return p[i]; // HERE
}
int main(int argc, char **argv) { return (int)pick((double *)8, -argc - 4); }`,
    'HeapOutOfBounds',
    'pick main',
    /^Read 8 bytes at 0xffff\w+, .*likely a negative index/,
  ),
  c(
    'inlined',
    `static inline int element(const int *p, int i) {
  return p[i]; // HERE
}
static inline int twice(const int *p, int i) { return 2 * element(p, i); }
int main(int argc, char **argv) { return twice((int *)0x7fff0000, argc); }`,
    'HeapOutOfBounds',
    'element twice main',
    /^Read 4 bytes at 0x7fff0004/,
    ['-O2'],
  ),
  c(
    'divide-by-zero',
    `${NOINLINE}N int ratio(int a, int b) {
  return a / b; // HERE
}
int main(int argc, char **argv) { return ratio(10, argc - 1); }`,
    'IntegerDivByZero',
    'ratio main',
    /divided by zero/,
  ),
  c(
    'remainder-by-zero-64',
    `${NOINLINE}N unsigned long long part(unsigned long long a, unsigned long long b) {
  return a % b; // HERE
}
int main(int argc, char **argv) { return (int)part(10, (unsigned)argc - 1u); }`,
    'IntegerDivByZero',
    'part main',
    /divided by zero/,
  ),
  c(
    'overflow',
    `${NOINLINE}N int negate(int a, int b) {
  return a / b; // HERE
}
int main(int argc, char **argv) { return negate(-0x7fffffff - argc, -argc); }`,
    'IntegerOverflow',
    'negate main',
    /does not fit its type/,
  ),
  c(
    'nan-to-int',
    `${NOINLINE}N int whole(double d) {
  return __builtin_wasm_trunc_s_i32_f64(d); // HERE
}
int main(int argc, char **argv) { volatile double zero = argc - 1; return whole(zero / zero); }`,
    'BadConversionToInteger',
    'whole main',
    /not a number \(NaN\)/,
    ['-O1', '-mcpu=mvp'],
  ),
  c(
    'null-function',
    `${NOINLINE}typedef int (*op)(int);
N int apply(op f, int x) {
  return f(x) + 1; // HERE
}
int main(int argc, char **argv) { return apply((op)(argc - 1), 3); }`,
    'IndirectCallToNull',
    'apply main',
    /^A function was called through a null function pointer.*The call expects \(i32\) -> i32\.$/,
  ),
  c(
    'wrong-signature',
    `${NOINLINE}typedef int (*op)(int);
N static double half(double d) { return d / 2; }
N int apply(op f, int x) {
  return f(x) + 1; // HERE
}
int main(int argc, char **argv) { void *volatile p = (void *)half; return apply((op)p, argc); }`,
    'BadSignature',
    'apply main',
    /^A function of type \(i32\) -> i32 was called through a pointer, but entry \d+ of table 0 is half, of type \(f64\) -> f64\.$/,
  ),
  c(
    'wild-function',
    `${NOINLINE}typedef void (*op)(void);
N void run(op f) {
  f(); // HERE
  __asm__ volatile("");
}
int main(int argc, char **argv) { run((op)(70000 + argc)); return 0; }`,
    'TableOutOfBounds',
    'run main',
    /table 0 has \d+ entries,/,
  ),
  c(
    'recursion',
    `${NOINLINE}N int down(int n) {
  volatile char room[64]; room[0] = n;
  return down(n + 1) + room[0]; // HERE
}
int main(int argc, char **argv) { return down(argc); }`,
    'StackOverflow',
    'down down down',
    /^The stack is full: down calls itself/,
    ['-O1', '-Wl,-z,stack-size=67108864'],
  ),
  c(
    'mutual-recursion',
    `${NOINLINE}int even(int n);
N int odd(int n) {
  return even(n - 1) * 3; // HERE
}
N int even(int n) { return odd(n - 1) * 5; }
int main(int argc, char **argv) { return odd(argc); }`,
    'StackOverflow',
    '',
    /^The stack is full: (?:even calls odd, which calls even|odd calls even, which calls odd) again/,
    ['-O1', '-fno-optimize-sibling-calls'],
  ),
  c(
    'assertion',
    `#include <assert.h>
${NOINLINE}N int check(int x) {
  assert(x > 5 && "too small"); // HERE
  return x;
}
int main(int argc, char **argv) { return check(argc); }`,
    'Unreachable',
    'check main',
    /^An assertion failed, in check\.$/,
  ),
  c(
    'abort',
    `#include <stdlib.h>
${NOINLINE}N void quit(int x) {
  if (x) abort(); // HERE
}
int main(int argc, char **argv) { quit(argc); return 0; }`,
    'Unreachable',
    'quit main',
    /^The program aborted, in quit\.$/,
  ),
  cpp(
    'bad-object',
    `struct Point { int x, y; int sum() const {
  return x + y; // HERE
} };
namespace deep { int total(const Point *p) { return p->sum(); } }
int main() { return deep::total(reinterpret_cast<Point *>(0x70000000)); }`,
    'HeapOutOfBounds',
    'Point::sum deep::total main',
    /^Read 4 bytes at 0x70000000/,
  ),
  cpp(
    'bad-vtable',
    `struct Shape { virtual int area() { return 1; } };
int measure(Shape *s) {
  return s->area(); // HERE
}
int main() { unsigned fake[4] = {0x20000000, 0, 0, 0}; return measure(reinterpret_cast<Shape *>(fake)); }`,
    'HeapOutOfBounds',
    'measure main',
    /^Read 4 bytes at 0x20000000/,
  ),
  cpp(
    'template',
    `template <class T> T at(const T *p, long i) {
  return p[i]; // HERE
}
int main(int argc, char **argv) { return (int)at<double>((double *)0x60000000, argc); }`,
    'HeapOutOfBounds',
    'at<double> main',
    /^Read 8 bytes at 0x60000008/,
  ),
  cpp(
    'lambda',
    `template <class F> int call(F f, int x) { return f(x); }
int main(int argc, char **argv) {
  int zero = argc - 1;
  return call([zero](int x) {
    return x % zero; // HERE
  }, 9);
}`,
    'IntegerDivByZero',
    'operator() call main',
    /divided by zero/,
  ),
  rust(
    'index',
    `#[inline(never)] fn pick(v: &[i32], i: usize) -> i32 {
    v[i] // HERE
}
fn main() { let v = vec![1, 2, 3]; println!("{}", pick(&v, v.len() + 1)); }`,
    'index::pick index::main',
    /^The program panicked: an index is out of its slice, in index::pick\.$/,
  ),
  rust(
    'unwrap',
    `#[inline(never)] fn first(v: &[u8]) -> u8 {
    *v.iter().find(|x| **x > 100).unwrap() // HERE
}
fn main() { println!("{}", first(&[1, 2])); }`,
    'unwrap::first unwrap::main',
    /^The program panicked: .*value that was not there|^The program panicked, in unwrap::first/,
  ),
  rust(
    'expect',
    `fn parse(s: &str) -> i32 {
    s.parse().expect("a number") // HERE
}
fn main() { println!("{}", parse("x1")); }`,
    'expect::parse expect::main',
    /^The program panicked: it unwrapped a value that was not there, in expect::parse\.$/,
  ),
  rust(
    'overflow-add',
    `#[inline(never)] fn next(x: u8) -> u8 {
    x + 1 // HERE
}
fn main() { println!("{}", next(std::env::args().count() as u8 + 254)); }`,
    'overflow_add::next overflow_add::main',
    /^The program panicked/,
  ),
  rust(
    'borrow',
    `use std::cell::RefCell;
fn twice(c: &RefCell<i32>) -> i32 {
    let a = c.borrow_mut();
    let b = c.borrow_mut(); // HERE
    *a + *b
}
fn main() { println!("{}", twice(&RefCell::new(1))); }`,
    'borrow::twice borrow::main',
    /^The program panicked/,
  ),
  rust(
    'panic',
    `enum Job { Idle, Work(u32) }
fn run(j: &Job) -> u32 {
    match j {
        Job::Idle => panic!("nothing to do"), // HERE
        Job::Work(n) => *n,
    }
}
fn main() { println!("{}", run(&Job::Work(1)) + run(&Job::Idle)); }`,
    'panic::run panic::main',
    /^The program panicked, in panic::run\.$/,
  ),
  as(
    'array',
    `function pick(a: Array<i32>, i: i32): i32 {
  return a[i]; // HERE
}
export function _start(): void { pick([1, 2, 3], 7); }`,
    'Unreachable',
    'assembly/pick',
    /^The program aborted/,
  ),
  as(
    'zero',
    `let zero: i32 = 0;
function ratio(a: i32): i32 {
  return a / zero; // HERE
}
export function _start(): void { zero = ratio(5); }`,
    'IntegerDivByZero',
    'assembly/ratio',
    /divided by zero/,
  ),
  as(
    'load',
    `function peek(at: usize): i32 {
  return load<i32>(at); // HERE
}
export function _start(): void { peek(0x7ffffff0); }`,
    'HeapOutOfBounds',
    'assembly/peek',
    /^Read 4 bytes at 0x7ffffff0/,
  ),
  wat(
    'unreachable',
    `(module (memory (export "memory") 1)
  (func $give_up unreachable)
  (func $work (call $give_up))
  (func (export "_start") (call $work)))`,
    'Unreachable',
    'give_up work _start',
    /^The program gave up/,
  ),
  wat(
    'fill',
    `(module (memory (export "memory") 1)
  (func $clear (param i32) (memory.fill (local.get 0) (i32.const 0) (i32.const 100)))
  (func (export "_start") (call $clear (i32.const 65500))))`,
    'HeapOutOfBounds',
    'clear _start',
    /./,
  ),
  wat(
    // No register has the index: no entry is named then, and never a wrong one.
    'constant-index',
    `(module (memory (export "memory") 1) (table 3 3 funcref) (elem (i32.const 1) $sum $sum)
  (func $sum (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func $half (drop (call_indirect (param f64) (result i32) (f64.const 2) (i32.const 1))))
  (func (export "_start") (call $half)))`,
    'BadSignature',
    'half _start',
    /^A function of type \(f64\) -> i32 was called through a pointer, but (?:entry 1 of table 0 is sum, of type \(i32, i32\) -> i32|the function there is of another type)\.$/,
  ),
  wat(
    'grown-apart',
    `(module (memory (export "memory") 1)
  (func $store (param i32) (i64.store offset=16 (local.get 0) (i64.const 1)))
  (func (export "_start") (call $store (i32.const 65516))))`,
    'HeapOutOfBounds',
    'store _start',
    /^Wrote 8 bytes/,
  ),
];
