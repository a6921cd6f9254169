/**
 * A process in which generated code faults where it can't: while it is stopped, the register that all its accesses are
 * relative to gets another value. Arguments: runtime bundle, artifact, what onFatal does: "tell" or "abort". The
 * artifact exports `spin`, which reads its memory for ever.
 */
import { readFileSync } from 'node:fs';

const [, , index, file, what] = process.argv;
const { Instance, InternalFault, Module, Pool, Region } = await import(index);
const module = Module.fromBytes(readFileSync(file));
const region = Region.create({ capacity: 2 });
const instance = Instance.create(region, module);
const other = Instance.create(region, module);
const told = [];
other.onFatal = () => told.push('another one');
instance.onFatal = fault => {
  if (what === 'abort') process.abort();
  told.push(fault instanceof InternalFault, fault.message, instance.state);
  throw new Error('errors of the handler go nowhere');
};
instance.onStop = stop => {
  stop.setRegister('r15', 0n);
  return 'continue';
};
const pool = new Pool({ threads: 1 });
const switchOfIt = instance.killSwitch();
const call = pool.call(instance, 'spin');
setTimeout(() => switchOfIt.pause(), 10);
let thrown = null;
try {
  await call;
} catch (e) {
  thrown = e;
}
let again = '';
try {
  instance.call('spin');
} catch (e) {
  again = e.name;
}
let reset = '';
try {
  instance.reset();
} catch (e) {
  reset = e.name;
}
const state = instance.state;
instance.dispose();
// The process, and other instances, go on.
const sum = other.call('add', 40, 2);
pool.dispose();
process.stdout.write(
  JSON.stringify({ told, thrown: [thrown.name, thrown.message], again, reset, state, sum }),
);
