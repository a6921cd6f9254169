/**
 * Runs compiled functions on a processor that this machine isn't, by the emulator Bochs: a disk image with a boot
 * sector, the code and its operands.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readArtifact } from '../../../compiler/object/artifact-reader.ts';

const SECTOR = 512;
/** As kernel.c has it. */
const PAYLOAD = 64;
const BIOS = '/usr/share/bochs';
const TERMINAL = '/usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so';
const HEADS = 16;
const SECTORS_PER_TRACK = 63;

export interface EmulatedRun {
  /** Its functions take an address, read and write memory, and do nothing else. */
  readonly artifact: Uint8Array;
  /** Indices of the functions, each called for every round. */
  readonly functions: readonly number[];
  readonly rounds: number;
  /** Bytes from one round's operands to the next one's, and of the result's place in them. */
  readonly stride: number;
  readonly result: number;
  /** Where the operands of the first round are. */
  readonly at: number;
  readonly image: Uint8Array;
}

export function hasEmulator(): boolean {
  return ['/usr/bin/bochs', '/usr/bin/script', join(BIOS, 'BIOS-bochs-latest'), TERMINAL].every(f =>
    existsSync(f),
  );
}

const pad = (n: number, to: number): number => Math.ceil(n / to) * to;

/**
 * 16 bytes for each round of each function, one behind the other.
 * @param cpu a model that Bochs knows
 */
export function emulate(cpu: string, run: EmulatedRun): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'lucet-emulated-'));
  try {
    const machine = build(folder);
    const payload = payloadOf(run);
    const results = run.functions.length * run.rounds * 16;
    const resultsAt = PAYLOAD + payload.length / SECTOR;
    const cylinder = HEADS * SECTORS_PER_TRACK * SECTOR;
    const disk = new Uint8Array(pad(resultsAt * SECTOR + pad(results, SECTOR), cylinder));
    disk.set(machine, 0);
    disk.set(payload, PAYLOAD * SECTOR);
    const path = join(folder, 'disk.img');
    writeFileSync(path, disk);
    const settings = [
      'megs: 128',
      `cpu: model=${cpu}, count=1, ips=200000000, reset_on_triple_fault=0`,
      `romimage: file=${BIOS}/BIOS-bochs-latest`,
      `vgaromimage: file=${BIOS}/VGABIOS-lgpl-latest`,
      'display_library: term',
      'ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14',
      `ata0-master: type=disk, path="${path}", mode=flat, cylinders=${disk.length / cylinder}, heads=${HEADS}, spt=${SECTORS_PER_TRACK}`,
      'boot: disk',
      `log: ${join(folder, 'log')}`,
      'panic: action=fatal',
      'error: action=report',
    ];
    writeFileSync(join(folder, 'settings'), `${settings.join('\n')}\n`);
    // Debian's waits for a command, and has no display that needs no terminal: `script` gives it one.
    writeFileSync(join(folder, 'commands'), 'continue\n');
    const { status, signal } = spawnSync(
      'script',
      ['-qc', 'bochs -q -f settings -rc commands', '/dev/null'],
      {
        cwd: folder,
        stdio: 'ignore',
        timeout: 240_000,
        env: { ...process.env, TERM: 'xterm' },
      },
    );
    const after = readFileSync(path);
    const done = after.readUInt32LE(PAYLOAD * SECTOR) === 0;
    if (!done) {
      const log = readFileSync(join(folder, 'log'), 'latin1').split('\n').slice(-12).join('\n');
      throw new Error(`the emulator did not finish (status ${status}, signal ${signal}):\n${log}`);
    }
    return after.subarray(resultsAt * SECTOR, resultsAt * SECTOR + results);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The boot sector and what runs the functions. */
function build(folder: string): Uint8Array {
  const cc = (...args: string[]): void => void execFileSync('gcc', ['-m64', ...args], { cwd: folder });
  const flags = '-O1 -ffreestanding -fno-pic -mgeneral-regs-only -mno-red-zone -fno-stack-protector'.split(
    ' ',
  );
  cc('-c', '-o', 'boot.o', join(import.meta.dirname, 'boot.S'));
  cc(
    ...flags,
    '-fno-tree-loop-distribute-patterns',
    '-c',
    '-o',
    'kernel.o',
    join(import.meta.dirname, 'kernel.c'),
  );
  execFileSync('ld', ['-Ttext', '0x7c00', '--oformat', 'binary', '-o', 'machine', 'boot.o', 'kernel.o'], {
    cwd: folder,
  });
  return readFileSync(join(folder, 'machine'));
}

/** struct payload of kernel.c, and what it refers to. Code and its constants keep their distance. */
function payloadOf({ artifact, functions, rounds, stride, result, at, image }: EmulatedRun): Uint8Array {
  const a = readArtifact(artifact);
  const header = pad(4 * (9 + functions.length), 64);
  const imageAt = header;
  const first = Math.min(a.textAddress, a.rodataAddress);
  const end = Math.max(a.textAddress + a.text.length, a.rodataAddress + a.rodata.length);
  const codeAt = pad(imageAt + image.length, 4096);
  const bytes = new Uint8Array(pad(codeAt + end - first, SECTOR));
  bytes.set(image, imageAt);
  bytes.set(a.text, codeAt + a.textAddress - first);
  bytes.set(a.rodata, codeAt + a.rodataAddress - first);
  const view = new DataView(bytes.buffer);
  const sectors = bytes.length / SECTOR;
  const numbers = [
    ...[sectors, functions.length, rounds, stride, result, at, imageAt, image.length, PAYLOAD + sectors],
    ...functions.map(f => codeAt + a.textAddress - first + a.func(f).start),
  ];
  numbers.forEach((n, i) => {
    view.setUint32(4 * i, n, true);
  });
  return bytes;
}
