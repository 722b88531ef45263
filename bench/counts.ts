/** What the calls of one action came to. */
export interface Count {
  readonly calls: number
  /** Capacity units. */
  readonly read: number
  readonly write: number
  /** Bytes of request bodies. */
  readonly sent: number
}

/** By action, such as `GetItem`. */
export type Counts = Record<string, Count>

export function addCounts (counts: Counts, action: string, { calls, read, write, sent }: Count): void {
  const before = counts[action] ?? { calls: 0, read: 0, write: 0, sent: 0 }
  counts[action] = { calls: before.calls + calls, read: before.read + read, write: before.write + write, sent: before.sent + sent }
}

/** All actions together. */
export function totalOf (counts: Counts): Count {
  const total: Counts = {}
  for (const count of Object.values(counts)) addCounts(total, 'all', count)
  return total['all'] ?? { calls: 0, read: 0, write: 0, sent: 0 }
}
