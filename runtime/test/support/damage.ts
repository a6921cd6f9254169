/** Artifacts with one byte changed, and a checksum that is right all the same. */

import { readArtifact } from '../../../compiler/object/artifact-reader.ts';
import { xxHash32 } from '../../../compiler/object/hashes.ts';
import { Module } from '../../index.ts';

/** Load `good` with the byte at `place` set to `value`, and give it back. @throws what loading throws */
export function loadDamaged(good: Uint8Array, place: number, value: number): void {
  const field = new Uint8Array(4);
  new DataView(field.buffer).setUint32(0, readArtifact(good).checksum, true);
  const checksumAt = Buffer.from(good).indexOf(Buffer.from(field));
  const bad = good.slice();
  bad[place] = value;
  new DataView(bad.buffer).setUint32(checksumAt, xxHash32(bad, checksumAt), true);
  Module.fromBytes(bad).dispose();
}
