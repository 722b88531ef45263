import { equal, notEqual } from 'node:assert/strict'
import { makeProbeKey } from '../lib/token.js'
import type { RecordChange, Renewal, Repository, SessionRecord, WriteAnswer } from '../types/repository.js'

/** Adds a test of a repository: the title is a promise. */
export type Promised = (title: string, run: (repository: Repository) => Promise<void>) => void

/** The instant at which all of it happens, in epoch seconds. */
export const NOW = 1_800_000_000

export const text = (value: unknown): { S: string } => ({ S: JSON.stringify(value) })

export function aRecord (parts: Partial<SessionRecord> = {}): SessionRecord {
  return {
    key: makeProbeKey(),
    data: new Map([['user', text('ann')], ['cart', text(['apple'])]]),
    version: 1,
    createdAt: NOW,
    lastSeenAt: NOW,
    expiresAt: NOW + 100,
    writes: new Map(),
    ...parts
  }
}

export function aChange (base: SessionRecord, parts: Partial<RecordChange> = {}): RecordChange {
  return { set: new Map(), delete: [], settings: {}, renewal: undefined, base, now: NOW + 1, ...parts }
}

export function aRenewal (base: SessionRecord, expiresAt: number, parts: Partial<Renewal> = {}): Renewal {
  const { idleTimeout, absoluteTimeout } = base
  return { lastSeenAt: NOW + 1, expiresAt, idleTimeout, absoluteTimeout, mayShorten: false, ...parts }
}

/** What a record says, without what a repository may add for itself. */
export function facts (record: SessionRecord | null): unknown {
  notEqual(record, null)
  const { key, data, version, createdAt, lastSeenAt, expiresAt, idleTimeout, absoluteTimeout, cookieMaxAge, user, next, format } = record as SessionRecord
  return { key, data: new Map(data), version, createdAt, lastSeenAt, expiresAt, idleTimeout, absoluteTimeout, cookieMaxAge, user, next, format }
}

/** The record that stood in the way of a write that must be refused. */
export function refused (answer: WriteAnswer): SessionRecord | null {
  equal(answer.done, false)
  return (answer as WriteAnswer & { done: false }).record
}

/** The successor that a deletion tells of, in either form. */
export function nextOf (answer: Awaited<ReturnType<Repository['destroy']>>): string | undefined {
  return typeof answer === 'object' ? answer.next : answer
}

/** The version that a write which must be done has left. */
export function doneVersion (answer: WriteAnswer): number {
  equal(answer.done, true)
  return (answer as WriteAnswer & { done: true }).version
}
