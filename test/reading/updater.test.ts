import { channel } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import t, { type Test } from 'tap'
import { SessionManager } from '../../lib/manager.js'
import { errors } from '../../lib/errors.js'
import { DynamoRepository } from '../../lib/repository.js'
import { assign, Updater, type Ask } from '../../lib/updater.js'
import type { Visit } from '../../lib/visit.js'
import type { DynamoSessionOptions } from '../../types/options.js'
import type { RecordChange } from '../../types/repository.js'
import { clientConfig, createTable, startDynalite } from '../support/engines.js'
import { openStored, setKeeper } from '../support/memory.js'
import { FaultProxy } from '../support/proxy.js'
import '../support/session-data.js'

const CONFLICT = { code: 'FST_DYNAMODB_SESSION_CONFLICT', statusCode: 409 }
const GONE = { code: 'FST_DYNAMODB_SESSION_GONE', statusCode: 409 }
const UNAVAILABLE = { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE', statusCode: 503 }

const text = (value: unknown): { S: string } => ({ S: JSON.stringify(value) })

const increment: Ask = async value => Number(value ?? 0) + 1

/** A stored session, and an updater whose pauses take no time. */
async function setUp (data: Record<string, unknown> = { count: 1 }, options: Partial<DynamoSessionOptions> = {}) {
  const stage = setKeeper(options)
  const { repository, keeper } = stage
  const stored = await openStored(stage, data)
  let pauses = 0
  let onPause = (): void => {}
  const updater = new Updater(repository, keeper.settings, () => {
    pauses += 1
    onPause()
    return 0
  })
  const changes: RecordChange[] = []
  const { save } = repository
  repository.save = async (key, change) => {
    changes.push(change)
    return await save(key, change)
  }
  const update = async (visit: Visit, name: string, ask: Ask): Promise<unknown> => {
    if (visit.state.record === undefined) throw new Error('Only what is stored is updated here.')
    return await updater.update(visit.state, visit.state.record, name, ask)
  }
  /** Before each of so many conditional writes, another request writes. */
  const getAhead = (times: number, act: (other: Visit) => void): void => {
    const { save } = repository
    let left = times
    repository.save = async (key, change) => {
      if (change.expected === undefined || left-- <= 0) return await save(key, change)
      const other = await stored.open()
      act(other)
      await other.save()
      changes.length = 0
      repository.take()
      return await save(key, change)
    }
  }
  /** What is stored, as a request that comes now finds it. */
  const present = async (): Promise<unknown> => {
    const { session } = await stored.open()
    repository.take()
    return session.data()
  }
  return {
    ...stage,
    ...stored,
    update,
    changes,
    getAhead,
    present,
    pauses: () => pauses,
    /** What happens while the updater pauses. */
    pausing: (act: () => void) => { onPause = act }
  }
}

/** An ask that notes what it is given. */
function noting (ask: Ask): { readonly given: unknown[], readonly ask: Ask } {
  const given: unknown[] = []
  return {
    given,
    ask: async value => {
      given.push(value)
      return await ask(value)
    }
  }
}

/** What the channel told while the test ran. */
function listen (t: Test, name: string): unknown[] {
  const told: unknown[] = []
  const listener = (message: unknown): void => { told.push(message) }
  channel(`fastify-dynamodb-session:${name}`).subscribe(listener)
  t.teardown(() => { channel(`fastify-dynamodb-session:${name}`).unsubscribe(listener) })
  return told
}

t.test('an update writes its one key, by one write, on condition that its value is still the stored one', async t => {
  const { visit, update, repository, changes, key, present } = await setUp({ count: 1, userId: 'u' })
  t.equal(await update(visit, 'count', increment), 2)
  t.same(repository.take(), ['save'])
  t.match(changes, [{ delete: [], settings: {}, sameVersion: false }])
  t.strictSame([changes[0]?.set, changes[0]?.expected], [new Map([['count', text(2)]]), new Map([['count', text(1)]])])
  t.equal(visit.session.get('count'), 2)
  t.equal(visit.session.isChanged, false)
  t.same([visit.session.version, visit.state.record?.version, visit.state.status], [2, 2, 'loaded'])
  t.same(visit.takeDelivery(), { wrote: { key, version: 2 } }, 'the companion is sent and no token')
  t.same(await present(), { count: 2, userId: 'u' })
})

t.test('a key that is not there is written on condition that nobody else put it there', async t => {
  const { visit, update, changes, getAhead, present } = await setUp({})
  const { given, ask } = noting(increment)
  getAhead(1, other => { other.session.set('count', 5) })
  t.equal(await update(visit, 'count', ask), 6)
  t.same(given, [undefined, 5])
  t.strictSame(changes.map(change => change.expected), [new Map([['count', undefined]]), new Map([['count', text(5)]])])
  t.same(await present(), { count: 6 })
})

t.test('where another request gets ahead, the new value is asked for anew, from what stands there then', async t => {
  const told = listen(t, 'conflict')
  const { visit, update, repository, getAhead, pauses, key, present } = await setUp()
  const { given, ask } = noting(increment)
  getAhead(1, other => { other.session.set('count', 5) })
  t.equal(await update(visit, 'count', ask), 6)
  t.same(given, [1, 5])
  t.same(repository.take(), ['save', 'save'], 'what was found by the refusal is read by that')
  t.equal(pauses(), 0, 'once, there is nothing to wait for')
  t.same(told, [{ loggableId: key }])
  t.equal(visit.session.get('count'), 6)
  t.equal(visit.session.version, 3)
  t.same(await present(), { count: 6 })
})

t.test('where others get ahead again and again, each further repetition pauses first, and reads after its pause', async t => {
  const { visit, update, repository, getAhead, pauses, present } = await setUp()
  const { given, ask } = noting(increment)
  getAhead(3, other => { other.session.set('count', Number(other.session.get('count')) + 10) })
  t.equal(await update(visit, 'count', ask), 32)
  t.same(given, [1, 11, 21, 31])
  t.equal(pauses(), 2)
  t.same(repository.take(), ['save', 'load', 'save'], 'since the last of the others')
  t.same(await present(), { count: 32 })
})

t.test('what another request writes during the pause is found after it, and costs no further refusal', async t => {
  const { visit, update, open, getAhead, pausing, repository, present } = await setUp()
  getAhead(2, other => { other.session.set('count', Number(other.session.get('count')) + 10) })
  const other = await open()
  pausing(() => {
    other.session.set('count', 100)
    other.save().catch(error => t.fail(error))
  })
  const { given, ask } = noting(increment)
  t.equal(await update(visit, 'count', ask), 101)
  t.same(given, [1, 11, 100])
  t.same(repository.take(), ['save', 'save', 'load', 'save'])
  t.same(await present(), { count: 101 })
})

t.test('however slow the table is, an update pauses for a quarter of a second at most', async t => {
  const stage = setKeeper()
  const { repository, keeper } = stage
  const { visit, open } = await openStored(stage, { count: 1 })
  const updater = new Updater(repository, keeper.settings, () => 1)
  const { save, load } = repository
  let [left, refusedAt, readAt] = [2, 0, 0]
  repository.save = async (key, change) => {
    if (change.expected === undefined || left-- <= 0) return await save(key, change)
    const other = await open()
    other.session.set('count', left + 10)
    await other.save()
    const answer = await save(key, change)
    if (left === 0) await sleep(700)
    refusedAt = performance.now()
    repository.load = async (...args) => {
      readAt = performance.now()
      return await load(...args)
    }
    return answer
  }
  t.equal(await updater.update(visit.state, visit.state.record as never, 'count', increment), 11)
  const paused = readAt - refusedAt
  t.ok(paused >= 240 && paused < 600, `${paused} ms`)
})

t.test('where others get ahead a hundred times, the visitor is asked to repeat, and nothing is written now or at the end', async t => {
  const { visit, update, repository, present } = await setUp({ count: 1 })
  const { given, ask } = noting(increment)
  let saves = 0
  const { save } = repository
  repository.save = async (key, change) => {
    saves += 1
    const { data, ...present } = await repository.load(key, true) as NonNullable<typeof change.base>
    return change.expected === undefined ? await save(key, change) : { done: false, record: { ...present, data: new Map([...data, ['count', text(saves)]]) } }
  }
  await t.rejects(update(visit, 'count', ask), CONFLICT)
  t.same([saves, given.length], [100, 100])
  t.equal(visit.session.get('count'), 1)
  t.equal(visit.state.failed, true)
  repository.take()
  await visit.settle(false)
  t.same(repository.take(), [])
  t.same(visit.takeDelivery(), {})
  t.same(await present(), { count: 1 })
})

t.test('what this request has put there and not written is what it goes by, and that is written over whatever stands there', async t => {
  for (const [prepare, from, to] of [
    [(visit: Visit) => { visit.session.set('count', 10) }, 10, 11],
    [(visit: Visit) => { visit.session.delete('count') }, undefined, 1]
  ] as const) {
    const { visit, update, changes, repository, open, present } = await setUp()
    const other = await open()
    prepare(visit)
    other.session.set('count', 50)
    await other.save()
    changes.length = 0
    repository.take()
    const { given, ask } = noting(increment)
    t.equal(await update(visit, 'count', ask), to)
    t.same(given, [from])
    t.same(repository.take(), ['save'])
    t.same(changes.map(change => change.expected), [undefined])
    await visit.settle(false)
    t.same(repository.take(), [], 'and it is not pending any more')
    t.same(await present(), { count: to })
  }
})

t.test('a change in place that is not written yet counts too', async t => {
  const { visit, update, present } = await setUp({ cart: ['a'] })
  visit.session.get('cart')?.push('b')
  t.same(await update(visit, 'cart', async value => [...value as string[], 'c']), ['a', 'b', 'c'])
  t.same(await present(), { cart: ['a', 'b', 'c'] })
})

t.test('a pending value is written also where the application leaves it as it is', async t => {
  const { visit, update, repository, present } = await setUp()
  visit.session.set('count', 10)
  t.equal(await update(visit, 'count', async value => value), 10)
  t.same(repository.take(), ['save'])
  t.same(await present(), { count: 10 })
})

t.test('what else this request has changed stays to be written at the end', async t => {
  const { visit, update, changes, present } = await setUp()
  visit.session.set('userId', 'u')
  visit.session.idleTimeout = 600
  await update(visit, 'count', increment)
  t.match(changes[0], { settings: {} })
  t.same([...changes[0]?.set.keys() ?? []], ['count'])
  t.equal(visit.session.isChanged, true)
  t.same(await present(), { count: 2 })
  await visit.settle(false)
  t.same(await present(), { count: 2, userId: 'u' })
  t.match(changes[1], { settings: { idleTimeout: 600 } })
})

t.test('what the application is given is a copy, so that a failure after it changed that changes nothing', async t => {
  for (const assigned of [false, true]) {
    const { visit, update, repository } = await setUp({ cart: ['a'] })
    const cart = ['a']
    if (assigned) visit.session.set('cart', cart)
    else visit.session.get('cart')
    await t.rejects(update(visit, 'cart', async value => {
      (value as string[]).push('b')
      throw new Error('broken')
    }), new Error('broken'))
    t.same([visit.session.get('cart'), cart], [['a'], ['a']])
    t.equal(visit.session.isChanged, false)
    await visit.settle(false)
    t.same(repository.take(), [])
  }
})

t.test('the object that the application returns is the session\'s from then on', async t => {
  const { visit, update, repository, present } = await setUp({ cart: ['a'] })
  const mine = ['a', 'b']
  t.equal(await update(visit, 'cart', async () => mine), mine)
  t.equal(visit.session.get('cart'), mine)
  t.equal(visit.session.isChanged, false)
  mine.push('c')
  t.equal(visit.session.isChanged, true)
  repository.take()
  await visit.settle(false)
  t.same(repository.take(), ['save'])
  t.same(await present(), { cart: ['a', 'b', 'c'] })
})

t.test('an object changed in place and returned is written as it is then', async t => {
  const { visit, update, present } = await setUp({ profile: { name: 'ann', tags: [] } })
  await update(visit, 'profile', async value => {
    (value as { tags: string[] }).tags.push('new')
    return value
  })
  t.same(await present(), { profile: { name: 'ann', tags: ['new'] } })
})

t.test('undefined deletes the key, on condition that its value is still the stored one', async t => {
  const { visit, update, changes, repository, present } = await setUp({ count: 1, userId: 'u' })
  t.equal(await update(visit, 'count', async () => undefined), undefined)
  t.strictSame(changes.map(({ set, delete: deleted, expected }) => [set, deleted, expected]), [[new Map(), ['count'], new Map([['count', text(1)]])]])
  t.equal(visit.session.has('count'), false)
  repository.take()
  await visit.settle(false)
  t.same(repository.take(), [])
  t.same(await present(), { userId: 'u' })
})

t.test('of two that take one value, one has it', async t => {
  const { visit, open, update, present } = await setUp({ flash: { ok: ['saved'] } })
  const other = await open()
  const taken: unknown[] = []
  const take: Ask = async value => {
    if (value !== undefined) taken.push(value)
    return undefined
  }
  await Promise.all([update(visit, 'flash', take), update(other, 'flash', take)])
  t.same(taken, [{ ok: ['saved'] }])
  t.same(await present(), {})
})

t.test('an update that changes nothing writes nothing, and one strong read confirms that it is so', async t => {
  for (const [data, ask, value] of [
    [{ cart: ['a'] }, async () => ['a'], ['a']],
    [{}, async () => undefined, undefined]
  ] as const) {
    const { visit, update, repository, present } = await setUp(data)
    const reads: boolean[] = []
    const { load } = repository
    repository.load = async (key, consistent) => {
      reads.push(consistent)
      return await load(key, consistent)
    }
    t.same(await update(visit, 'cart', ask), value)
    t.same([repository.take(), reads], [['load'], [true]])
    t.same(visit.session.get('cart'), value)
    await visit.settle(false)
    t.same(repository.take(), [])
    t.same(visit.takeDelivery(), {})
    t.same(await present(), data)
  }
})

t.test('an update that changes nothing of what was read, but stands no more, is asked for anew', async t => {
  const { visit, open, update, repository, present } = await setUp()
  const other = await open()
  other.session.set('count', 5)
  await other.save()
  repository.take()
  const { given, ask } = noting(async value => value === 1 ? 1 : Number(value) + 1)
  t.equal(await update(visit, 'count', ask), 6)
  t.same(given, [1, 5])
  t.same(repository.take(), ['load', 'save'])
  t.same(await present(), { count: 6 })
})

t.test('what a strong read has shown is not read a second time to be confirmed', async t => {
  const { visit, open, update, repository } = await setUp()
  const other = await open()
  other.session.set('count', 5)
  await other.save()
  repository.take()
  t.equal(await update(visit, 'count', async value => Math.max(1, Number(value))), 5)
  t.same(repository.take(), ['load'])
  t.equal(visit.session.get('count'), 5)
})

t.test('what an update found and left is not written at the end of the request, over what others wrote since', async t => {
  for (const [before, between, ask] of [
    [{ count: 1 }, { count: 5 }, async (value: unknown) => value],
    [{ count: 1 }, {}, async (value: unknown) => value],
    [{}, { count: 5 }, async (value: unknown) => value]
  ] as const) {
    const { visit, open, update, repository, present } = await setUp({ ...before, userId: 'u' })
    const write = async (data: { count?: number }): Promise<void> => {
      const other = await open()
      other.session.set('count', data.count)
      await other.save()
    }
    await write(between)
    t.equal(await update(visit, 'count', ask), (between as { count?: number }).count)
    t.equal(visit.session.isChanged, false, 'there is nothing to write')
    await write({ count: 9 })
    repository.take()
    await visit.settle(false)
    t.same(repository.take(), [])
    t.same(await present(), { count: 9, userId: 'u' })
  }
})

for (const [reason, end] of [
  ['missing', async (other: Visit) => { await other.destroy() }],
  ['replaced', async (other: Visit) => {
    await other.regenerate(true)
    await other.save()
  }]
] as const) {
  t.test(`an update of a session that is ${reason} meanwhile writes nothing and is told, whether or not it would write`, async t => {
    const told = listen(t, 'gone')
    const { visit, open, update, repository, key } = await setUp()
    await end(await open())
    const before = await repository.load(key, true)
    await t.rejects(update(visit, 'count', increment), GONE)
    await t.rejects(update(visit, 'count', async value => value), GONE)
    t.same(told, [{ loggableId: key, reason }, { loggableId: key, reason }])
    t.same(await repository.load(key, true), before)
    t.equal(visit.state.failed, true)
    t.same(visit.takeDelivery(), {})
  })
}

t.test('a session that is read again while an update of it is written or confirmed keeps the value', async t => {
  for (const encryptionKeys of [undefined, new Uint8Array(32).fill(3)]) {
    for (const [reads, ask] of [['before the write', increment], ['after the write', increment], ['while it is confirmed', async (value: unknown) => value]] as const) {
      const { visit, update, repository, open } = await setUp({ count: 1, other: 2 }, encryptionKeys === undefined ? {} : { encryptionKeys })
      const { save, load } = repository
      let isReread = false
      const reread = async (): Promise<void> => {
        if (isReread) return
        isReread = true
        await visit.reload()
      }
      repository.save = async (key, change) => {
        if (reads === 'before the write') await reread()
        const answer = await save(key, change)
        if (reads === 'after the write') await reread()
        return answer
      }
      repository.load = async (key, consistent) => {
        if (reads === 'while it is confirmed') await reread()
        return await load(key, consistent)
      }
      const name = `${reads}, ${encryptionKeys === undefined ? 'plain' : 'sealed'}`
      const expected = reads === 'while it is confirmed' ? 1 : 2
      t.equal(await update(visit, 'count', ask), expected, name)
      t.equal(isReread, true)
      t.same([visit.session.get('count'), visit.session.isChanged], [expected, false], name)
      await visit.settle(false)
      t.same((await open()).session.data(), { count: expected, other: 2 }, name)
      if (reads !== 'while it is confirmed') t.match(visit.takeDelivery(), { wrote: { version: 2 } }, 'the browser is told what was written')
    }
  }
})

t.test('of a session that is read again while an update over its own assignment is written, what was written is known', async t => {
  const { visit, update, repository, open } = await setUp()
  visit.session.set('count', 5)
  const { save } = repository
  repository.save = async (key, change) => {
    repository.save = save
    await visit.reload()
    return await save(key, change)
  }
  t.equal(await update(visit, 'count', increment), 6)
  t.same([visit.session.get('count'), visit.session.isChanged], [6, false])
  await visit.settle(false)
  t.same((await open()).session.data(), { count: 6 })
})

t.test('what a session that is read again finds of others, written after an update, is not covered by that', async t => {
  const { visit, update, repository, open } = await setUp()
  const { save } = repository
  repository.save = async (key, change) => {
    repository.save = save
    const answer = await save(key, change)
    const other = await open()
    other.session.set('count', 99)
    await other.save()
    await visit.reload()
    return answer
  }
  t.equal(await update(visit, 'count', increment), 2)
  t.same([visit.session.get('count'), visit.session.version, visit.session.isChanged], [99, 3, false])
})

t.test('what is assigned to a session that was read again while an update of it was written is the later one', async t => {
  const { visit, update, repository, open } = await setUp()
  const { save } = repository
  repository.save = async (key, change) => {
    repository.save = save
    await visit.reload()
    visit.session.set('count', 50)
    return await save(key, change)
  }
  t.equal(await update(visit, 'count', increment), 2)
  t.same([visit.session.get('count'), visit.session.isChanged], [50, true])
  await visit.settle(false)
  t.same((await open()).session.data(), { count: 50 })
})

t.test('where the outcome of an update is not known, what is assigned after the session was read again is written', async t => {
  const { visit, update, repository, open } = await setUp()
  const { save } = repository
  repository.save = async (key, change) => {
    repository.save = save
    await visit.reload()
    await save(key, change)
    throw new errors.Unavailable()
  }
  await t.rejects(update(visit, 'count', increment), UNAVAILABLE)
  visit.session.set('count', 1)
  await visit.settle(false)
  t.same((await open()).session.data(), { count: 1 }, 'though that is what was read')
})

t.test('an update of unknown outcome leaves alone what has taken the place of its session meanwhile', async t => {
  const { visit, update, repository } = await setUp()
  const { save } = repository
  repository.save = async () => {
    repository.save = save
    visit.state.regenerate(false)
    throw new errors.Unavailable()
  }
  await t.rejects(update(visit, 'count', increment), UNAVAILABLE)
  visit.session.delete('count')
  t.equal(visit.state.values.pending('count'), undefined, 'there is nothing to delete')
})

t.test('a value that nobody can read by now does not fail an update of what this request has put there itself, sealed or not', async t => {
  for (const options of [{}, { encryptionKeys: new Uint8Array(32).fill(3) }]) {
    const { visit, update, repository, open } = await setUp({ count: 1 }, options)
    const { load } = repository
    repository.load = async (key, consistent) => {
      const record = await load(key, consistent)
      return record === null ? null : { ...record, data: new Map([['count', { S: '{' }]]) }
    }
    const { given, ask } = noting(async () => {
      visit.session.set('count', 7)
      return 1
    })
    t.equal(await update(visit, 'count', ask), 1)
    t.same(given, [1, 7])
    repository.load = load
    t.same((await open()).session.data(), { count: 1 })
  }
})

t.test('an update whose session got another id between two attempts writes nothing into the old record', async t => {
  for (const keep of [false, true]) {
    const { visit, update, getAhead, pausing, changes, open } = await setUp({ count: 1 }, { encryptionKeys: new Uint8Array(32).fill(3) })
    getAhead(2, other => { other.session.set('count', Number(other.session.get('count')) + 10) })
    pausing(() => { visit.state.regenerate(keep) })
    const { given, ask } = noting(increment)
    await t.rejects(update(visit, 'count', ask), GONE, `keeping ${keep ? 'all' : 'nothing'}`)
    t.same(given, [1, 11])
    t.same(changes.length, 1, 'but for the one that was refused')
    t.equal((await open()).session.get('count'), 21, 'what others wrote stands, and opens')
  }
})

t.test('an update of a session that expires meanwhile writes nothing, also where it ends while others get ahead', async t => {
  const { visit, update, clock, getAhead, key, repository } = await setUp()
  getAhead(1, other => { other.session.set('count', 11) })
  const { given, ask } = noting(async value => {
    if (value === 11) clock.forward(7200)
    return Number(value) + 1
  })
  await t.rejects(update(visit, 'count', ask), GONE)
  t.same(given, [1, 11])
  t.match(await repository.load(key, true), { version: 2, data: new Map([['count', text(11)]]) })
})

t.test('a value that no format can carry, and whatever the application throws, leave all as it is', async t => {
  for (const [ask, error] of [
    [async () => new Map(), { code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE', message: /"count"/ }],
    [async () => [() => {}], { code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE' }],
    [async () => { throw new RangeError('broken') }, { name: 'RangeError', message: 'broken' }]
  ] as const) {
    const { visit, update, repository, present } = await setUp()
    await t.rejects(update(visit, 'count', ask), error)
    t.same(visit.session.data(), { count: 1 })
    await visit.settle(false)
    t.same(repository.take(), [])
    t.equal(await update(visit, 'count', increment), 2, 'and the next update works')
    t.same(await present(), { count: 2 })
  }
})

t.test('a stored value that nobody can read is not updated by what it is not', async t => {
  const { visit, update, repository } = await setUp()
  const record = { ...visit.state.record as never as object, data: new Map([['count', { S: 'not JSON' }]]) } as never
  visit.state.adopt(visit.state.id ?? '', record)
  const { given, ask } = noting(increment)
  await t.rejects(update(visit, 'count', ask), { code: 'FST_DYNAMODB_SESSION_UNREADABLE' })
  t.same([given, repository.take()], [[], []])
})

t.test('a value over the size that an item may have is refused before anything is sent', async t => {
  const { visit, keeper } = await setUp()
  const sent: unknown[] = []
  const client = { send: async (command: unknown) => { sent.push(command) } } as unknown as DynamoDBClient
  const repository = new DynamoRepository(client, { layout: keeper.settings.layout, timeout: 3, maxSize: 1000, onGhost: () => {} })
  const updater = new Updater(repository, keeper.settings)
  await t.rejects(updater.update(visit.state, visit.state.record as never, 'any:big', async () => 'x'.repeat(1000)), {
    code: 'FST_DYNAMODB_SESSION_TOO_LARGE', statusCode: 413, message: 'Largest keys: "any:big" (1002)'
  })
  t.same(sent, [])
  t.same(visit.session.data(), { count: 1 })
  t.equal(visit.session.isChanged, false)
})

t.test('where the table does not answer, nothing is left to be written, whether or not the update took effect', async t => {
  for (const [fault, stored] of [['fail before', 1], ['fail after', 2]] as const) {
    const { visit, update, repository, present } = await setUp()
    repository.meet('save', fault)
    await t.rejects(update(visit, 'count', increment), UNAVAILABLE)
    t.equal(visit.session.get('count'), 1)
    t.same([visit.session.isChanged, visit.state.failed], [false, true])
    repository.take()
    await visit.settle(false)
    t.same(repository.take(), [])
    t.same(visit.takeDelivery(), {})
    t.same(await present(), { count: stored })
  }
})

t.test('what is assigned or deleted after an update of unknown outcome is written, also where it is what was read', async t => {
  for (const [data, act, after] of [
    [{ count: 1 }, (visit: Visit) => { visit.session.set('count', 1) }, { count: 1 }],
    [{ count: 1 }, (visit: Visit) => { visit.session.delete('count') }, {}],
    [{}, (visit: Visit) => { visit.session.delete('count') }, {}]
  ] as const) {
    for (const fault of ['fail before', 'fail after'] as const) {
      const { visit, update, repository, present } = await setUp({ ...data, userId: 'u' })
      repository.meet('save', fault)
      await t.rejects(update(visit, 'count', increment), UNAVAILABLE)
      act(visit)
      repository.take()
      await visit.session.save()
      t.same(repository.take(), ['save'])
      t.same(await present(), { ...after, userId: 'u' })
    }
  }
})

t.test('a regenerate(true) after an update of unknown outcome keeps what was assigned since', async t => {
  const { visit, update, repository, keeper, log } = await setUp()
  repository.meet('save', 'fail after')
  await t.rejects(update(visit, 'count', increment), UNAVAILABLE)
  visit.session.set('count', 1)
  await visit.session.regenerate(true)
  await visit.session.save()
  const { id = '', key = '' } = visit.state
  t.same((await keeper.open(id, key, log)).visit.session.data(), { count: 1 })
})

t.test('where the reads of an update do not answer, it is a failure and nothing is written', async t => {
  const confirming = await setUp()
  confirming.repository.meet('load', 'fail before')
  await t.rejects(confirming.update(confirming.visit, 'count', async value => value), UNAVAILABLE)
  t.same(confirming.repository.take(), ['load'])
  const { visit, update, getAhead, pausing, repository, present } = await setUp()
  getAhead(2, other => { other.session.set('count', Number(other.session.get('count')) + 10) })
  pausing(() => { repository.meet('load', 'fail before') })
  await t.rejects(update(visit, 'count', increment), UNAVAILABLE)
  t.same(repository.take(), ['save', 'load'])
  t.equal(visit.session.get('count'), 1)
  t.same(await present(), { count: 21 })
})

t.test('ten updates that wait for each other make ten writes and no read', async t => {
  const { open, update, repository, present } = await setUp({ count: 0 })
  const visits = await Promise.all(Array.from({ length: 10 }, open))
  repository.take()
  const { given, ask } = noting(increment)
  t.same(await Promise.all(visits.map(async visit => await update(visit, 'count', ask))), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  t.same(given, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 'each is asked once')
  t.same(repository.take(), Array(10).fill('save'))
  t.same(await present(), { count: 10 })
  for (const visit of visits) await visit.settle(false)
  t.same(repository.take(), [], 'and none of them writes its own count again')
})

t.test('that a key was deleted is handed on too, and updates of other keys are handed nothing of it', async t => {
  const { open, update, repository, present } = await setUp({ count: 1, 'any:other': 7 })
  const [first, second, third] = await Promise.all([open(), open(), open()])
  repository.take()
  const { given, ask } = noting(increment)
  await Promise.all([update(first, 'count', async () => undefined), update(second, 'any:other', ask), update(third, 'count', ask)])
  t.same(given, [7, undefined])
  t.same(repository.take(), ['save', 'save', 'save'])
  t.same(await present(), { count: 1, 'any:other': 8 })
})

t.test('what was handed on and is out of date by then is found out', async t => {
  const { open, update, repository, present } = await setUp()
  const [first, second, other] = await Promise.all([open(), open(), open()])
  const { given, ask } = noting(increment)
  const one = update(first, 'count', ask)
  const two = update(second, 'count', async value => {
    if (value === 2) {
      other.session.set('count', 50)
      await other.save()
    }
    return await ask(value)
  })
  t.same(await Promise.all([one, two]), [2, 51])
  t.same(given, [1, 2, 50])
  repository.take()
  t.same(await present(), { count: 51 })
})

t.test('who has read more than was handed on goes by what was read', async t => {
  const { open, update, repository, present } = await setUp({ count: 1, 'any:other': 1 })
  const [first, between, other] = await Promise.all([open(), open(), open()])
  let release = (): void => {}
  const held = new Promise<void>(resolve => { release = resolve })
  const running = [update(first, 'count', increment), update(between, 'any:other', async value => {
    await held
    return value
  })]
  await running[0]
  other.session.set('count', 50)
  await other.save()
  const late = await open()
  repository.take()
  const { given, ask } = noting(increment)
  const last = update(late, 'count', ask)
  release()
  await Promise.all(running)
  t.equal(await last, 51)
  t.same(given, [50])
  t.same(repository.take(), ['load', 'save'])
  t.same(await present(), { count: 51, 'any:other': 1 })
})

t.test('where the one before failed, the next one begins with what is stored', async t => {
  const { open, update, present } = await setUp()
  const [first, second] = await Promise.all([open(), open()])
  const failed = update(first, 'count', async () => { throw new Error('broken') })
  const next = update(second, 'count', increment)
  await t.rejects(failed, new Error('broken'))
  t.equal(await next, 2)
  t.same(await present(), { count: 2 })
})

t.test('an update waits for another of its session no longer than an operation may take', async t => {
  const { open, update, present } = await setUp({ count: 1 }, { timeout: 0.03 })
  const [first, second] = await Promise.all([open(), open()])
  let release = (): void => {}
  const held = new Promise<void>(resolve => { release = resolve })
  const slow = update(first, 'count', async value => {
    await held
    return Number(value) + 10
  })
  const start = performance.now()
  t.equal(await update(second, 'count', increment), 2)
  const took = performance.now() - start
  t.ok(took >= 25 && took < 1000, `${took} ms`)
  release()
  t.equal(await slow, 12, 'and the other one begins again with what it finds then')
  t.same(await present(), { count: 12 })
})

t.test('what the application assigns while it is asked is the later one, and is written at the end', async t => {
  for (const [act, after] of [
    [(visit: Visit) => { visit.session.set('count', 77) }, 77],
    [(visit: Visit) => { visit.session.delete('count') }, undefined]
  ] as const) {
    const { visit, update, repository, present } = await setUp()
    t.equal(await update(visit, 'count', async value => {
      act(visit)
      return Number(value) + 1
    }), 2)
    t.equal(visit.session.get('count'), after)
    t.same(await present(), { count: 2 })
    await visit.settle(false)
    t.same(repository.take(), ['save'])
    t.same(await present(), after === undefined ? {} : { count: after })
  }
})

t.test('what the application assigns while the update is being written is written at the end', async t => {
  for (const [act, after] of [
    [(visit: Visit) => { visit.session.set('count', 77) }, 77],
    [(visit: Visit) => { visit.session.delete('count') }, undefined]
  ] as const) {
    const { visit, update, repository, present } = await setUp()
    const { save } = repository
    repository.save = async (...args) => {
      repository.save = save
      const answer = await save(...args)
      act(visit)
      return answer
    }
    await update(visit, 'count', increment)
    t.equal(visit.session.get('count'), after)
    t.same(await present(), { count: 2 })
    await visit.settle(false)
    t.same(await present(), after === undefined ? {} : { count: after })
  }
})

t.test('what the application only reads while an update is under way does not stand in the way of the new value', async t => {
  const { visit, update, repository, present } = await setUp({ count: 1, cart: ['a'] })
  await update(visit, 'count', async value => {
    t.equal(visit.session.get('count'), 1)
    return Number(value) + 1
  })
  t.equal(visit.session.get('count'), 2)
  await update(visit, 'cart', async value => {
    t.same(visit.session.get('cart'), ['a'])
    return [...value as string[], 'b']
  })
  t.same(visit.session.get('cart'), ['a', 'b'])
  t.equal(visit.session.isChanged, false)
  repository.take()
  await visit.settle(false)
  t.same(repository.take(), [], 'what was read is not written back over what was updated')
  t.same(await present(), { count: 2, cart: ['a', 'b'] })
})

t.test('settings and data that others wrote meanwhile stand, and are known where they were found', async t => {
  const { visit, update, open, clock, changes, repository } = await setUp()
  clock.forward(5)
  const other = await open()
  other.session.idleTimeout = 60
  other.session.set('userId', 'u')
  await other.save()
  changes.length = 0
  repository.take()
  const { given, ask } = noting(increment)
  t.equal(await update(visit, 'count', ask), 2)
  t.same(given, [1, 1], 'refused for its instants, and asked anew')
  t.same(repository.take(), ['save', 'save'])
  t.match(changes, [{ renewal: { idleTimeout: undefined } }, {}])
  t.equal(visit.session.idleTimeout, 60)
  t.equal(visit.session.version, 3)
  const { session } = await open()
  t.same([session.data(), session.idleTimeout, session.expiresAt], [{ count: 2, userId: 'u' }, 60, clock.ms / 1000 + 60])
})

t.test('an update renews for nothing, as every data write does', async t => {
  const { visit, update, open, clock, repository } = await setUp()
  clock.forward(100)
  await update(visit, 'count', increment)
  t.same(repository.take(), ['save'])
  t.equal((await open()).session.lastSeenAt, clock.ms / 1000)
})

t.test('data of others that an update went past is not taken for known by what needs all of it', async t => {
  const { visit, update, open, repository, keeper, log } = await setUp()
  const other = await open()
  other.session.set('userId', 'u')
  await other.save()
  await update(visit, 'count', increment)
  t.same([visit.session.version, visit.state.record?.version], [3, 1])
  await visit.regenerate(true)
  await visit.save()
  const { id = '', key = '' } = visit.state
  t.same((await keeper.open(id, key, log)).visit.session.data(), { count: 2, userId: 'u' })
  t.ok(repository.take().includes('replace'))
})

t.test('with conflict "reject", a save after an update is refused where others wrote before it, and only there', async t => {
  const alone = await setUp({ count: 1 }, { conflict: 'reject' })
  await alone.update(alone.visit, 'count', increment)
  alone.visit.session.set('userId', 'u')
  await alone.visit.settle(false)
  t.same(await alone.present(), { count: 2, userId: 'u' })
  const { visit, open, update, present } = await setUp({ count: 1 }, { conflict: 'reject' })
  const other = await open()
  other.session.set('cart', ['theirs'])
  await other.save()
  t.equal(await update(visit, 'count', increment), 2, 'the update itself goes by its one value')
  visit.session.set('userId', 'u')
  await t.rejects(visit.settle(false), CONFLICT)
  t.same(await present(), { count: 2, cart: ['theirs'] })
})

t.test('with conflict "reject", an update of a key that was changed here is refused where others wrote before it, and only there', async t => {
  for (const change of [
    (visit: Visit) => { visit.session.set('cart', ['a', 'mine']) },
    (visit: Visit) => { visit.session.get('cart')?.push('mine') }
  ]) {
    const alone = await setUp({ cart: ['a'] }, { conflict: 'reject' })
    change(alone.visit)
    t.same(await alone.update(alone.visit, 'cart', async cart => [...cart as string[], 'more']), ['a', 'mine', 'more'])
    t.same(alone.repository.take(), ['save'])
    t.same(await alone.present(), { cart: ['a', 'mine', 'more'] })
    const { visit, open, update, repository, present } = await setUp({ cart: ['a'] }, { conflict: 'reject' })
    const other = await open()
    other.session.set('cart', ['a', 'theirs'])
    await other.save()
    change(visit)
    repository.take()
    const { given, ask } = noting(async cart => [...cart as string[], 'more'])
    await t.rejects(update(visit, 'cart', ask), CONFLICT)
    t.same([given.length, repository.take()], [1, ['save']], 'it is not tried again')
    t.same(await present(), { cart: ['a', 'theirs'] })
  }
})

t.test('with conflict "reject", that holds where the other one was an update in this process, which this one waited for', async t => {
  const { visit, open, update, repository, present } = await setUp({ count: 1 }, { conflict: 'reject' })
  const other = await open()
  visit.session.set('count', 10)
  repository.take()
  const { given, ask } = noting(increment)
  const [theirs, mine] = [update(other, 'count', increment), update(visit, 'count', ask)]
  await t.rejects(mine, CONFLICT)
  t.equal(await theirs, 2)
  t.same([given.length, repository.take().length], [1, 2], 'it is not tried again')
  t.same(await present(), { count: 2 })
})

t.test('with conflict "reject", an update of a key that was changed here goes past another that only renewed, by a clock ahead', async t => {
  const { visit, open, update, clock, repository, present } = await setUp({ count: 1 }, { conflict: 'reject' })
  const other = await open()
  clock.forward(105)
  other.session.touch()
  await other.settle(false)
  clock.forward(-5)
  visit.session.set('count', 10)
  repository.take()
  t.equal(await update(visit, 'count', increment), 11)
  t.same(repository.take(), ['save', 'save'])
  t.same(await present(), { count: 11 })
})

t.test('what only DynamoDB values can hold is updated in their format, and equal values are no change', async t => {
  const { visit, update, changes, repository, present } = await setUp({ 'any:set': new Set(['a', 'b']), 'any:bytes': new Uint8Array([1]) }, { format: 'native' })
  await update(visit, 'any:set', async value => new Set([...value as Set<string>, 'c']))
  t.strictSame(changes[0]?.expected, new Map([['any:set', { SS: ['a', 'b'] }]]))
  repository.take()
  await update(visit, 'any:set', async () => new Set(['c', 'b', 'a']))
  t.same(repository.take(), ['load'], 'in whatever order')
  await update(visit, 'any:bytes', async value => new Uint8Array([...value as Uint8Array, 2]))
  t.strictSame(await present(), { 'any:set': new Set(['a', 'b', 'c']), 'any:bytes': new Uint8Array([1, 2]) })
})

t.test('a session that is read again while the application is asked is asked for anew, as it is then', async t => {
  const { visit, update, open, repository, present } = await setUp()
  const other = await open()
  let isReloaded = false
  const { given, ask } = noting(async value => {
    if (!isReloaded) {
      isReloaded = true
      other.session.set('count', 5)
      await other.save()
      const record = await repository.load(visit.state.key ?? '', true)
      visit.state.adopt(visit.state.id ?? '', record as never)
    }
    return Number(value) + 1
  })
  t.equal(await update(visit, 'count', ask), 6)
  t.same(given, [1, 5])
  t.same(await present(), { count: 6 })
})

t.test('that the application reads the session again while it is asked is no conflict with others', async t => {
  const told = listen(t, 'conflict')
  const stage = setKeeper()
  const { visit, open } = await openStored(stage, { count: 1 })
  let runs = 0
  t.equal(await visit.session.update('count', async count => {
    runs += 1
    if (runs === 1) await visit.session.reload()
    return (count ?? 0) + 1
  }), 2)
  t.same([runs, told], [2, []])
  t.same((await open()).session.data(), { count: 2 })
})

t.test('what the application throws is no failure of the session', async t => {
  const { visit, update } = await setUp()
  await t.rejects(update(visit, 'count', async () => { throw new Error('broken') }), new Error('broken'))
  t.equal(visit.state.failed, false)
})

t.test('a value that the table gives back in another form is the same value, and is asked for once', async t => {
  const { visit, update, repository } = await setUp({ 'any:set': new Set(['b', 'a']) }, { format: 'native' })
  const { load } = repository
  repository.load = async (...args) => {
    const record = await load(...args)
    return record && { ...record, data: new Map([['any:set', { SS: ['a', 'b'] }]]) }
  }
  const { given, ask } = noting(async value => value)
  t.strictSame(await update(visit, 'any:set', ask), new Set(['b', 'a']))
  t.equal(given.length, 1)
  t.same(repository.take(), ['load'])
})

t.test('a session that is ended or given another id while the application is asked is not updated', async t => {
  for (const end of [(visit: Visit) => { visit.state.forget() }, (visit: Visit) => { visit.state.regenerate(true) }]) {
    const { visit, update, repository, present } = await setUp()
    await t.rejects(update(visit, 'count', async value => {
      end(visit)
      return Number(value) + 1
    }), GONE)
    t.same(repository.take(), [])
    t.same(await present(), { count: 1 })
  }
})

t.test('where the session is ended while the update is being written, it stays ended', async t => {
  const { visit, update, repository } = await setUp()
  const { save } = repository
  repository.save = async (...args) => {
    const answer = await save(...args)
    visit.state.forget()
    return answer
  }
  t.equal(await update(visit, 'count', increment), 2, 'it was written')
  t.same([visit.state.status, visit.session.keys(), visit.session.id], ['destroyed', [], undefined])
  t.same(visit.takeDelivery(), { token: 'clear' })
})

t.test('where the session is ended while the table is asked whether nothing is to be written, it stays ended', async t => {
  const { visit, update, repository } = await setUp()
  const { load } = repository
  repository.load = async (...args) => {
    const record = await load(...args)
    visit.state.forget()
    return record
  }
  t.equal(await update(visit, 'count', async value => value), 1)
  t.same([visit.state.status, visit.state.record, visit.session.keys()], ['destroyed', undefined, []])
  t.same(repository.take(), ['load'])
})

t.test('a session that is stored nowhere has the value assigned, to be saved like any other change', async t => {
  const { keeper, repository, log } = await setUp()
  const { state, session } = keeper.blank(log)
  const { given, ask } = noting(increment)
  t.equal((await assign(state, 'count', ask)).value, 1)
  t.equal((await assign(state, 'count', ask)).value, 2)
  t.same(given, [undefined, 1])
  t.same([session.get('count'), state.status, state.changeCount], [2, 'started', 2])
  t.equal((await assign(state, 'userId', async () => undefined)).value, undefined)
  t.equal(state.changeCount, 2, 'there was nothing to delete')
  t.equal((await assign(state, 'count', async () => undefined)).value, undefined)
  t.same([session.keys(), state.changeCount], [[], 3])
  t.same(repository.take(), [])
})

t.test('in such a session, what was assigned may be taken back', async t => {
  const { keeper, log } = await setUp()
  const { state, session } = keeper.blank(log)
  for (const ask of [async () => undefined, increment]) {
    const { undo } = await assign(state, 'count', ask)
    undo()
    t.same(session.data(), {})
  }
  session.set('count', 5)
  const { undo } = await assign(state, 'count', increment)
  t.same(session.data(), { count: 6 })
  undo()
  t.same(session.data(), { count: 5 })
})

t.test('in such a session too, the application is given a copy, and a failure or a bad value changes nothing', async t => {
  const { keeper, log } = await setUp()
  const { state, session } = keeper.blank(log)
  session.set('cart', ['a'])
  await t.rejects(assign(state, 'cart', async value => {
    (value as string[]).push('b')
    throw new Error('broken')
  }), new Error('broken'))
  await t.rejects(assign(state, 'cart', async () => new Set(['x'])), { code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE' })
  t.same(session.data(), { cart: ['a'] })
})

t.test('on the wire, ten updates that wait for each other are ten UpdateItems and nothing else', async t => {
  const engine = await startDynalite()
  const proxy = await FaultProxy.start(engine)
  const manager = new SessionManager({ table: await createTable(engine), client: clientConfig(proxy.endpoint) })
  t.teardown(async () => {
    await manager.close()
    await proxy.close()
    await engine.close()
  })
  const { id = '' } = await manager.create({ count: 0 })
  const sessions = await Promise.all(Array.from({ length: 10 }, async () => await manager.load(id, { required: true })))
  proxy.take()
  await Promise.all(sessions.map(async session => await session.update('count', count => (count ?? 0) + 1)))
  const calls = proxy.takeCalls()
  t.same(calls.map(({ action, status }) => [action, status]), Array(10).fill(['UpdateItem', 200]))
  t.equal((await manager.load(id))?.get('count'), 10)
})

t.test('a list or a map of the native format goes by the version, since not every engine compares them', async t => {
  for (const [before, grow] of [
    [['a'], (value: unknown) => [...value as string[], 'x']],
    [{ a: 1 }, (value: unknown) => ({ ...value as object, [Object.keys(value as object).length]: 1 })]
  ] as const) {
    const { visit, update, repository, changes, open } = await setUp({ cart: before }, { format: 'native' })
    const other = await open()
    const after = grow(before)
    t.same(await update(visit, 'cart', async value => grow(value)), after)
    t.match(changes[0], { sameVersion: true, expected: undefined })
    t.same(await update(other, 'cart', async value => grow(value)), grow(after), 'and the other one, which had read before, begins again')
    t.same(repository.take().filter(call => call === 'save').length, 3)
  }
})
