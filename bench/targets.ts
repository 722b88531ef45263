import { BASE } from './contestants.js'
import { compare, cpuOf, figure, find, megabytes, overBare, percent, perThousand, rateOf } from './figures.js'
import { BURST, LARGE, LARGE_CHANGE, READ, WAITING, type Cell } from './plan.js'
import type { Measured, Results, Work } from './results.js'
import { median } from './statistics.js'

/** What the library is meant to reach, and what it reached in this run. */
export interface Target {
  readonly text: string
  readonly found: string
  /** Undefined where it was not measured. */
  readonly met: boolean | undefined
}

const PEERS = ['fastify-connect', 'fastify-store', 'express-connect', 'express-store']

/** Requests of a burst. */
const BURST_SIZE = 20

function at ({ cells }: Results, { title }: Cell): readonly Measured[] {
  return cells.find(({ cell }) => cell.title === title)?.measured ?? []
}

function target (text: string, value: number, isMet: (value: number) => boolean, unit = ''): Target {
  const isMeasured = Number.isFinite(value)
  return { text, found: isMeasured ? figure(value) + unit : 'not measured', met: isMeasured ? isMet(value) : undefined }
}

/** The worst of those that were measured. */
function worst (values: readonly number[], of: (...values: number[]) => number): number {
  const measured = values.filter(Number.isFinite)
  return measured.length === 0 ? NaN : of(...measured)
}

export function targetsOf (results: Results): Target[] {
  return [...cpuTargets(results), ...sizeTargets(results), ...callTargets(results), ...longTargets(results)]
}

function cpuTargets (results: Results): Target[] {
  const read = at(results, READ)
  const against = (contestant: string): number => worst(['fastify-connect', 'fastify-store'].map(peer => compare(read, contestant, peer, cpuOf)), Math.max)
  return [
    target('CPU of a signed-in read beside a GetItem by hand, reads not batched: at most 0.6', compare(read, 'ours', BASE, cpuOf), value => value <= 0.6),
    target('the same with batching, 50 connections: at most 0.25', compare(read, 'ours-batched', BASE, cpuOf), value => value <= 0.25),
    target('throughput of 200 connections and a service of 5 ms, beside by hand: at least 5 times', compare(at(results, WAITING), 'ours-batched', BASE, rateOf), value => value >= 5),
    target('CPU of a signed-in read beside @fastify/session on either store, not batched: at most 0.25', against('ours'), value => value <= 0.25),
    target('the same with batching: at most 0.125', against('ours-batched'), value => value <= 0.125),
    target('the plugin\'s own work for a signed-in read of 2 KB: at most 15 µs', ownWorkOf(results), value => value <= 15, ' µs')
  ]
}

/** The last kind of visit is the signed-in read. */
function ownWorkOf ({ ownWork }: Results): number {
  return overBare(ownWork, ownWork.at(-1) as Work)
}

function sizeTargets (results: Results): Target[] {
  const large = at(results, LARGE)
  const times = worst(PEERS.map(peer => compare(large, 'ours', peer, rateOf)), Math.min)
  const share = LARGE_CHANGE.size.bytes / LARGE_CHANGE.size.keys
  const writes = find(at(results, LARGE_CHANGE), 'ours')?.slices.map(({ counts }) => counts?.['UpdateItem']) ?? []
  const sent = median(writes.map(count => (count?.sent ?? NaN) / (count?.calls ?? NaN)))
  return [
    target('a session of 64 KB in 50 keys, one read: at least 3 times the throughput of any peer', times, value => value >= 3),
    target(`one of its keys changed: the request carries that key only (its value has ${figure(share)} bytes)`, sent, value => value <= share + 1024, ' bytes')
  ]
}

function callTargets (results: Results): Target[] {
  const [calls = NaN, read = NaN, write = NaN] = (find(at(results, READ), 'ours')?.slices ?? []).flatMap(({ requests, counts = {} }) => perThousand(requests, counts))
  const isExact = calls === 1000 && read === 500 && write === 0
  const burst = find(at(results, BURST), 'ours')?.slices.map(({ requests, counts = {} }) => perThousand(requests, counts)[0] / 1000 * BURST_SIZE) ?? []
  const cached = results.paused.find(({ contestant }) => contestant === 'ours-cached')
  return [
    {
      ...target('calls of a thousand signed-in reads: 1,000 GetItem of half a unit each, and no write', calls, () => isExact),
      found: `${figure(calls)} calls, ${figure(read)} RCU, ${figure(write)} WCU`
    },
    target('a burst of 20 parallel reads of one session: one GetItem', median(burst), value => value <= 1),
    target('six requests every two seconds with a cache of one second: at most 0.2 reads a request',
      cached === undefined ? NaN : perThousand(cached.requests, cached.counts)[0] / 1000, value => value <= 0.2)
  ]
}

/** How much more of the heap may be in use after a soak: what a collection leaves varies. */
const FLAT = 1.1

function longTargets (results: Results): Target[] {
  const soaked = results.soak.filter(({ contestant }) => contestant.startsWith('ours'))
  const growth = worst(soaked.map(({ heap: [before, after] }) => after / before), Math.max)
  const delay = worst(soaked.map(({ loop }) => loop.p99), Math.max)
  const costs = results.stored.map(({ measured }) => costBesideBase(measured))
  const flat = worst(costs.map(cost => cost / Number(costs[0])), Math.max)
  const ours = results.processes.filter(({ contestant }) => contestant === 'ours')
  const rates = new Map(ours.map(({ processes, slices }) => [processes, median(slices.map(rateOf))]))
  const processes = (rates.get(4) ?? NaN) / (rates.get(1) ?? NaN)
  return [
    target('heap after a collection, after the soak and before: flat', growth, value => value <= FLAT, ` of ${megabytes(worst(soaked.map(({ heap }) => heap[0]), Math.max))} MB`),
    target('p99 of the event-loop delay over the soak: under 20 ms', delay, value => value < 20, ' ms'),
    target(`CPU of a read among ${figure(results.stored.at(-1)?.sessions ?? NaN)} sessions beside 1,000: flat`, flat, value => value <= FLAT),
    target(`throughput of 4 processes beside one, reads not batched: at least 1.8 times (${reason(ours)})`, processes, value => value >= 1.8)
  ]
}

function costBesideBase (measured: readonly Measured[]): number {
  const ours = measured.find(({ contestant }) => contestant !== BASE)?.contestant ?? BASE
  return compare(measured, ours, BASE, cpuOf)
}

function reason (processes: Results['processes']): string {
  const { shares } = processes[0] ?? {}
  return shares === undefined ? 'not measured' : `one process, the stub and the load generator took ${percent(shares.application + shares.stub + shares.load)} of the machine`
}
