import type { ChildProcess } from 'node:child_process'
import type { Ready, Settings } from './applications/serve.js'
import { compiled } from './build.js'
import { ask, start, stop } from './child.js'
import type { Contestant } from './contestants.js'
import type { Counts } from './counts.js'
import { cycleOf, load, signIn, type Load } from './load.js'
import type { Usage } from './measure.js'
import { READ, type Cell, type Plan } from './plan.js'
import type { Measured, Slice } from './results.js'
import { interleaved } from './statistics.js'

/** An engine, and what it tells of the calls since the last look and of its processor, in microseconds, where it can. */
export interface Engine {
  readonly endpoint: string
  take? (): Promise<Counts>
  cpu? (): Promise<number>
}

/** A contestant whose application runs. */
export interface Running {
  readonly contestant: Contestant
  readonly child: ChildProcess
  readonly url: string
}

export async function run (contestant: Contestant, settings: Settings): Promise<Running> {
  const { program, options } = contestant
  const { child, ready } = await start<Ready>(compiled(program), { ...settings, ...options !== undefined && { options } })
  return { contestant, child, url: ready.url }
}

/** Runs the applications for as long as something is done with them. */
export async function whileRunning<T> (
  contestants: readonly Contestant[], settings: Settings, act: (running: Running[]) => Promise<T>
): Promise<T> {
  const running: Running[] = []
  try {
    for (const contestant of contestants) running.push(await run(contestant, settings))
    return await act(running)
  } finally {
    for (const { child } of running) await stop(child)
  }
}

/** A load that was found out to take about as long as it should. */
interface Prepared { readonly running: Running, readonly cookies: readonly string[], readonly requests: number }

/** Puts everybody whom a cell is for under its load, in interleaved rounds. */
export async function measureCell (all: readonly Running[], cell: Cell, engine: Engine, plan: Plan): Promise<Measured[]> {
  const prepared = new Map<string, Prepared>()
  for (const running of all.filter(({ contestant }) => cell.who.includes(contestant.kind))) {
    prepared.set(running.contestant.id, await prepare(running, cell, plan))
  }
  const slices = new Map<string, Slice[]>([...prepared.keys()].map(id => [id, []]))
  for (const order of interleaved([...prepared.values()], plan.rounds)) {
    for (const { running, cookies, requests } of order) {
      const slice = await measure(running.child, engine, async () => await load(running.url, cell.traffic, cookies, requests, cell.size))
      slices.get(running.contestant.id)?.push(slice)
    }
  }
  return [...slices].map(([contestant, slices]) => ({ contestant, slices }))
}

/** The first load of an application takes several times as long as a later one: its code is not compiled yet. */
export async function preheat ({ url }: Running, seconds: number): Promise<void> {
  const cookies = await signIn(url, READ.connections, READ.size)
  const cold = await load(url, 'read', cookies, 500, READ.size)
  await load(url, 'read', cookies, cold.requests / cold.seconds * seconds, READ.size)
}

/** Signs the visitors in and warms the application up, which also tells how many requests fill a round. */
async function prepare (running: Running, cell: Cell, { warmUp, slice }: Pick<Plan, 'warmUp' | 'slice'>): Promise<Prepared> {
  const cookies = await visitorsOf(running.url, cell)
  const attempt = async (requests: number): Promise<number> => {
    const done = await load(running.url, cell.traffic, cookies, requests, cell.size)
    return done.requests / done.seconds
  }
  const cold = await attempt(cookies.length * cycleOf(cell.traffic))
  const warm = await attempt(cold * warmUp)
  return { running, cookies, requests: warm * slice }
}

/** Those who are signed in, or as many who are not. */
export async function visitorsOf (url: string, { traffic, connections, size }: Cell): Promise<string[]> {
  if (traffic === 'anonymous' || traffic === 'log-in') return Array.from({ length: connections }, () => '')
  return await signIn(url, connections, size)
}

/** What an application and its engine have done during a load. */
export async function measure (child: ChildProcess, engine: Engine, act: () => Promise<Load>): Promise<Slice> {
  await engine.take?.()
  const [stubBefore, before] = [await engine.cpu?.(), await ask<Usage>(child, 'usage')]
  const done = await act()
  const [after, stubAfter] = [await ask<Usage>(child, 'usage'), await engine.cpu?.()]
  const counts = await engine.take?.()
  return {
    ...done,
    cpu: (after.cpu - before.cpu) / done.requests,
    ...counts !== undefined && { counts },
    ...stubBefore !== undefined && stubAfter !== undefined && { stubCpu: (stubAfter - stubBefore) / done.requests }
  }
}
