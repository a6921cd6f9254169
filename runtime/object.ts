/** Objects of garbage-collected types, as JavaScript holds them. */

/**
 * A reference to a guest's object: opaque; it can be handed back to the guest, or compared. It is valid until the guest
 * is reset or gone, and only for guests that could have got it from that one; any other refuses it.
 */
export class GuestObject {
  /** @internal */
  constructor(readonly address: number) {}

  /** Whether both are references to one object. */
  equals(other: GuestObject): boolean {
    return this.address === other.address;
  }
}

/** @throws TypeError, with `what` as subject */
export function objectAddress(value: unknown, what: string): number {
  if (value === null) return 0;
  if (!(value instanceof GuestObject))
    throw new TypeError(`${what} is anyref: expected a GuestObject or null, got ${typeof value}`);
  return value.address;
}
