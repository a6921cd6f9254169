/**
 * Lifetimes of instances, like those in runtime/native/group.c.
 *
 * References pass between guests unseen, so instances that may hold each other's functions form a group: their native
 * handles are given back when all of the group are disposed. An instance that only imports from another group (a
 * memory, say) holds that group, one way. So what many short-lived instances import from does not keep them.
 */
export interface GroupMember extends LinkedHome {
  group: Group;
  releaseNative(): void;
}

/** An instance, as those see it that hold something of it. */
export interface LinkedHome {
  readonly group: Group;
  /** @throws StateError when its memory is gone */
  assertAlive(): void;
  dispose(): void;
}

export class Group {
  #members: GroupMember[];
  /** Members that are not disposed, and holds by other groups. */
  #handles = 1;
  /** Members of other groups that are held. */
  #held = new Set<LinkedHome>();

  constructor(first: GroupMember) {
    this.#members = [first];
  }

  /** Merges both groups: each side may come to hold references to the other. */
  merge(other: Group): void {
    if (other === this) return;
    if (other.#members.length > this.#members.length) {
      other.merge(this);
      return;
    }
    for (const member of other.#members) {
      member.group = this;
      this.#members.push(member);
    }
    this.#handles += other.#handles;
    for (const home of other.#held) {
      // A group that both sides held is now held twice: once is enough.
      if (this.#held.has(home)) home.group.#handles--;
      else this.#held.add(home);
    }
    // A group that held itself would never end.
    for (const home of this.#held) {
      if (home.group !== this) continue;
      this.#held.delete(home);
      this.#handles--;
    }
  }

  /** Keeps another group, one way. */
  hold(home: LinkedHome): void {
    if (home.group === this || this.#held.has(home)) return;
    this.#held.add(home);
    home.group.#handles++;
  }

  /** A member was disposed, or a group that held this one is gone: gives the handles back when nobody is left. */
  drop(): void {
    if (--this.#handles > 0) return;
    for (const member of this.#members) member.releaseNative();
    for (const home of this.#held) home.group.drop();
    this.#members = [];
    this.#held.clear();
  }
}
