import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import type { Session } from '../../index.js'
import type { Stage } from '../support/app.js'
import { onOneEngine } from '../support/engines.js'
import { faults } from '../support/proxy.js'
import { dataOf, setInstances, tokenIn } from '../support/matrix.js'
import { setCookies } from '../support/visitor.js'

const INSTANCES = 4
const MANY = 200
const FEW = 20
const DROPPED = 'Changes were dropped, because their session has ended meanwhile'

/** Where requests wait in their handlers, with the session that they have read, until the test lets all of them go. */
class Meeting {
  #waiting = 0
  #look: () => void = () => {}
  #open: () => void = () => {}
  readonly #opened = new Promise<void>(resolve => { this.#open = resolve })

  async join (): Promise<void> {
    this.#waiting += 1
    this.#look()
    await this.#opened
  }

  /** Resolves when so many are there. */
  async of (count: number): Promise<void> {
    await new Promise<void>(resolve => {
      this.#look = () => { if (this.#waiting >= count) resolve() }
      this.#look()
    })
  }

  open (): void { this.#open() }
}

/** Instances on one table, with a session that all requests share. */
async function setStorm (t: Test, engine: Parameters<typeof setInstances>[1]) {
  const meeting = new Meeting()
  const routes = (app: FastifyInstance): void => {
    const act = (url: string, run: (session: Session, number: number) => unknown): void => {
      app.post(url, async ({ session, body }) => await run(session, (body as { number: number }).number) ?? {})
    }
    act('/begin', session => { session.set('userId', 'u-1') })
    act('/count', async session => ({ count: await session.update('count', count => (count ?? 0) + 1) }))
    act('/save', (session, number) => { session.set(`any:${number}`, number) })
    act('/save-together', async (session, number) => {
      await meeting.join()
      session.set(`any:${number}`, number)
    })
    act('/destroy-together', async session => {
      await meeting.join()
      await session.destroy()
    })
    act('/read', session => ({ data: session.data() }))
    act('/read-together', async session => {
      const data = session.data()
      await meeting.join()
      return { data }
    })
  }
  // Everything runs in one process here, and is slower than any service.
  const stages = await setInstances(t, engine, INSTANCES, { session: { timeout: 60 }, routes }) as [Stage, ...Stage[]]
  const token = tokenIn(await stages[0].app.inject({ method: 'POST', url: '/begin', payload: {} }))
  for (const { proxy } of stages) proxy.take()
  const send = async (url: string, number: number): Promise<LightMyRequestResponse> => {
    const { app } = stages[number % INSTANCES] as Stage
    return await app.inject({ method: 'POST', url, payload: { number }, headers: { cookie: `__Host-id=${token}` } })
  }
  return { stages, meeting, send, all: async (url: string, count: number) => await Promise.all(times(count, async number => await send(url, number))) }
}

function times<T> (count: number, make: (number: number) => T): T[] {
  return Array.from({ length: count }, (_, number) => make(number))
}

/** How many calls of each action went over the wire, and how many writes were refused. */
function tally (stages: readonly Stage[]) {
  const calls = stages.flatMap(({ proxy }) => proxy.takeCalls())
  const count = (action: string): number => calls.filter(call => call.action === action).length
  return { reads: count('GetItem'), writes: count('UpdateItem'), refused: calls.filter(({ status }) => status === 400).length, total: calls.length }
}

function statuses (answers: readonly LightMyRequestResponse[]): number[] {
  return [...new Set(answers.map(({ statusCode }) => statusCode))]
}

onOneEngine(t, (t, engine) => {
  t.test(`${MANY} updates at once count ${MANY}`, async t => {
    const { stages, all } = await setStorm(t, engine)
    const answers = await all('/count', MANY)
    t.same(statuses(answers), [200])
    const counts = answers.map(answer => Number(answer.json().count)).sort((a, b) => a - b)
    t.same(counts, times(MANY, number => number + 1), 'each is told a count of its own')
    const [item] = await stages[0].items()
    t.equal(dataOf(item ?? {})['count'], MANY)
    t.equal(item?.['ver']?.N, String(MANY + 1), 'and each was written once')
    const { reads, writes, refused } = tally(stages)
    t.comment(`${engine.name}: ${writes} UpdateItem, of which ${refused} were refused, and ${reads} GetItem for ${MANY} updates`)
    t.ok(writes < 4 * MANY, 'under four writes for each')
    t.ok(reads <= MANY + 2 * refused, 'one read for each request, and at most two for each refusal')
    t.equal(writes - refused, MANY)
  })

  // What follows goes by conditions that test/races.test.ts tries on both engines, or counts calls: one engine is enough.
  if (engine.name !== 'dynalite') return

  t.test(`of ${MANY} saves that race a log-out nothing is left`, async t => {
    const { stages, meeting, send } = await setStorm(t, engine)
    const [first, second] = stages as [Stage, Stage, ...Stage[]]
    const end = first.proxy.gate('DeleteItem')
    const late = second.proxy.gate('UpdateItem')
    const logOut = send('/destroy-together', 0)
    const saves = times(MANY, async number => await send('/save-together', number))
    await meeting.of(MANY + 1)
    meeting.open()
    // One save is written before the end, and one is not.
    await Promise.all([end.reached, late.reached, Promise.any(saves)])
    end.release()
    t.equal((await logOut).statusCode, 200)
    late.release()
    const answers = await Promise.all(saves)
    t.same(statuses(answers), [200])
    t.same(answers.flatMap(setCookies).filter(text => text.startsWith('__Host-id=')), [], 'and no token is sent')
    t.same(await first.items(), [], 'no record is left')
    const dropped = stages.flatMap(({ log }) => log.warnings()).filter(text => text === DROPPED).length
    const { writes, refused } = tally(stages)
    t.equal(dropped, refused, 'each save that came too late is told to the log')
    t.equal(writes, MANY, 'and none is tried twice')
    t.ok(dropped >= 1 && dropped < MANY, `${dropped} of ${MANY} came too late`)
    const later = await Promise.all(times(INSTANCES, async number => await send('/read', number)))
    t.same(later.map(answer => answer.json()), times(INSTANCES, () => ({ data: {} })), 'and no later read sees data')
  })

  t.test(`${MANY} saves of different keys at once all survive, each by one write`, async t => {
    const { stages, meeting, all } = await setStorm(t, engine)
    const answers = all('/save-together', MANY)
    await meeting.of(MANY)
    meeting.open()
    t.same(statuses(await answers), [200])
    const [item, ...others] = await stages[0].items()
    t.same(others, [])
    t.same(dataOf(item ?? {}), { userId: 'u-1', ...Object.fromEntries(times(MANY, number => [`any:${number}`, number])) })
    t.equal(item?.['ver']?.N, String(MANY + 1))
    t.same(tally(stages), { reads: INSTANCES, writes: MANY, refused: 0, total: INSTANCES + MANY }, 'and each process reads once for all of them')
  })

  t.test('when a renewal is due, 500 reads at once make one in each process, and none before and after', async t => {
    const { stages, meeting, send, all } = await setStorm(t, engine)
    t.same(statuses(await all('/read', FEW)), [200])
    t.same(tally(stages), { reads: INSTANCES, writes: 0, refused: 0, total: INSTANCES })
    stages[0].clock.forward(1000)
    const reads = []
    // In groups, so that none waits for a connection; all have read before the first one ends.
    for (let group = 1; group <= 5; group++) {
      reads.push(...times(100, async number => await send('/read-together', number)))
      await meeting.of(group * 100)
    }
    meeting.open()
    t.same(statuses(await Promise.all(reads)), [200])
    const { writes, ...calls } = tally(stages)
    t.equal(writes, INSTANCES)
    t.same(calls, { reads: 5 * INSTANCES, refused: 0, total: 5 * INSTANCES + writes }, 'each process reads once for those of a group')
    const [item] = await stages[0].items()
    t.same([item?.['ver']?.N, item?.['seen']?.N], ['1', String(stages[0].clock.seconds)], 'all to the same instant, which is no change of data')
    t.same(statuses(await all('/read', FEW)), [200])
    t.same(tally(stages), { reads: INSTANCES, writes: 0, refused: 0, total: INSTANCES })
  })

  t.test('one update gets its turn beside a process that has many', async t => {
    const { stages, send } = await setStorm(t, engine)
    const [first, second] = stages as [Stage, Stage, ...Stage[]]
    // The process is busy when the one comes.
    const busy = first.proxy.gate({ action: 'UpdateItem', letBy: 4 })
    const many = times(40, async () => await send('/count', 0))
    await busy.reached
    for (const { proxy } of [first, second]) proxy.meet({ times: Infinity }, faults.delay(10))
    const one = send('/count', 1)
    busy.release()
    t.equal((await one).statusCode, 200)
    t.same(statuses(await Promise.all(many)), [200])
    t.comment(`the one was refused ${tally([second]).refused} times, the many ${tally([first]).refused} times`)
  })
})
