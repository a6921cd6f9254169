/** One instance for each request: everything of Lucet's in this example. */
import { compile } from '../../compiler/index.ts';
import { Module, Region, Trap, WasiCommand } from '../../runtime/index.ts';

export interface Response {
  readonly status: number;
  readonly type: string;
  readonly body: Buffer;
}

export class GuestHandler {
  readonly #command: WasiCommand;

  constructor(wasm: Uint8Array) {
    const module = Module.fromBytes(compile(wasm));
    this.#command = new WasiCommand(Region.create({ capacity: 1 }), module, { args: ['handler'] });
  }

  /** The guest runs to its end before this returns, in an instance that nothing outlives. */
  handle(request: Uint8Array): Response {
    try {
      return parseResponse(this.#command.run({ stdin: request }).stdout);
    } catch (e) {
      // A guest that traps takes nobody along.
      if (!(e instanceof Trap)) throw e;
      return { status: 502, type: 'text/plain', body: Buffer.from(e.message) };
    }
  }
}

/** "STATUS TYPE\n", then the body. */
function parseResponse(bytes: Buffer): Response {
  const end = bytes.indexOf(10);
  const line = bytes.latin1Slice(0, end);
  return { status: Number.parseInt(line, 10), type: line.slice(4), body: bytes.subarray(end + 1) };
}

/** What the guest does, as a function of JavaScript's: what the load test compares with. */
export function handleInJavaScript(request: Uint8Array): Response {
  const bytes = Buffer.from(request.buffer, request.byteOffset, request.length);
  const line = bytes.indexOf(10);
  const [, path] = bytes.toString('latin1', 0, line).split(' ');
  let words = 0;
  let letters = 0;
  let hash = 2166136261;
  let inside = false;
  for (let k = line + 1; k < bytes.length; k++) {
    const c = bytes[k]!;
    const letter = (c >= 97 && c <= 122) || (c >= 65 && c <= 90);
    if (letter) letters++;
    if (letter && !inside) words++;
    inside = letter;
    hash = Math.imul(hash ^ c, 16777619);
  }
  const body = JSON.stringify({ path, request: 1, words, letters, hash: hash >>> 0 });
  return { status: 200, type: 'application/json', body: Buffer.from(body) };
}
