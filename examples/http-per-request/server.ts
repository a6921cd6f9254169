/**
 * A server in which every request runs in a new instance of a WASI program, and the same server with a plain function
 * in its place. Started by main.ts with the program's path; tells its ports, and answers each message with its resident
 * size ("memory": after a garbage collection) and the processor time that it has taken.
 */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { GuestHandler, handleInJavaScript, type Response } from './guest.ts';

type Handler = (request: Uint8Array) => Response;

function serve(handler: Handler): Promise<number> {
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [Buffer.from(`${request.method} ${request.url}\n`)];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { status, type, body } = handler(Buffer.concat(chunks));
      response.writeHead(status, { 'content-type': type, 'content-length': body.length });
      response.end(body);
    });
  });
  return new Promise(resolve => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

const guest = new GuestHandler(readFileSync(process.argv[2]!));
const ports = {
  guest: await serve(request => guest.handle(request)),
  javascript: await serve(handleInJavaScript),
};
process.on('message', message => {
  if (message === 'memory') globalThis.gc?.();
  const { user, system } = process.cpuUsage();
  process.send!({ memory: process.memoryUsage().rss, processor: user + system });
});
process.send!(ports);
