// What a program says of itself: see show.h.
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: i32, iovs: usize, count: i32, written: usize): i32;

const record = memory.data(16);

function line(text: string): void {
  const bytes = String.UTF8.encode(text + "\n");
  store<u32>(record, changetype<u32>(bytes));
  store<u32>(record, bytes.byteLength, 4);
  fd_write(1, record, 1, record + 8);
}

export function at(name: string): void {
  line("#" + name);
}

export function show<T>(name: string, value: T): void {
  if (isString<T>()) line(name + "=\"" + changetype<string>(value) + "\"");
  else line(name + "=" + value.toString());
}

export function list(name: string, elements: string): void {
  line(name + "=[" + elements + "]");
}
