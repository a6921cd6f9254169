/** Runs a guest that never ends, after telling how it can be killed. */
import { parentPort, workerData } from 'node:worker_threads';

const { Instance, Module, Region } = await import(workerData.index);
const instance = Instance.create(Region.create({ capacity: 1 }), Module.fromBytes(workerData.bytes));
parentPort.postMessage(instance.killSwitch().token());
instance.call('loop');
