import { Signer } from '@fastify/cookie'
import { SECRET } from './applications/serve.js'
import { measure, preheat, type Running } from './arena.js'
import type { StubEngine } from './engine.js'
import { scattered, signIn } from './load.js'
import { READ, type Plan } from './plan.js'
import type { Measured, Slice, Stored } from './results.js'
import { interleaved } from './statistics.js'
import { idOf } from './stub.js'

const CONNECTIONS = 32

const signer = new Signer(SECRET)

/** An application beside the table that it was given for itself. */
export interface Owner { readonly running: Running, readonly table: string }

/** How a visitor of one of the sessions looks to each application. */
function cookieFor ({ contestant }: Running, id: string): string {
  return contestant.kind === 'hand' ? `id=${id}` : `__Host-id=${encodeURIComponent(signer.sign(id))}`
}

/**
 * Reads sessions at random, of few and of many that are stored. The stub keeps them: a million are made in seconds, and what
 * could grow with their number is what the application itself keeps. That a table answers as quickly when it is large is
 * DynamoDB's promise, which nothing on one machine can show.
 */
export async function measureStored (owners: readonly Owner[], stub: StubEngine, plan: Plan): Promise<Stored[]> {
  const stored: Stored[] = []
  const templates = new Map<string, string>()
  for (const { running } of owners) await preheat(running, plan.preheat)
  await stub.clear()
  for (const { running, table } of owners) {
    await signIn(running.url, 1, READ.size)
    templates.set(table, (await stub.keys(table))[0] ?? '')
  }
  let filled = 0
  for (const sessions of plan.stored) {
    for (const { running, table } of owners) {
      const from = templates.get(table) ?? ''
      await stub.fill({ table, from, first: filled, count: sessions - filled, isHashed: running.contestant.kind === 'ours' })
    }
    filled = sessions
    stored.push({ sessions, measured: await measureAmong(owners, stub, sessions, plan) })
  }
  return stored
}

async function measureAmong (owners: readonly Owner[], stub: StubEngine, sessions: number, plan: Plan): Promise<Measured[]> {
  const visit = async (running: Running, requests: number) =>
    await scattered(running.url, CONNECTIONS, Math.max(CONNECTIONS, Math.round(requests)), () => cookieFor(running, idOf(Math.floor(Math.random() * sessions))))
  const rates = new Map<Running, number>()
  for (const { running } of owners) {
    const cold = await visit(running, 500)
    const warm = await visit(running, cold.requests / cold.seconds * plan.warmUp)
    rates.set(running, warm.requests / warm.seconds)
  }
  const slices = new Map<Running, Slice[]>(owners.map(({ running }) => [running, []]))
  for (const order of interleaved([...rates], plan.rounds)) {
    for (const [running, rate] of order) {
      slices.get(running)?.push(await measure(running.child, stub, async () => await visit(running, rate * plan.slice)))
    }
  }
  return [...slices].map(([{ contestant }, slices]) => ({ contestant: contestant.id, slices }))
}
