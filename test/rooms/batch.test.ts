import t from 'tap'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { BatchGetItemCommand, type BatchGetItemCommandOutput, type DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { Batches, LEFT_OVER, readAnswer, type Batch, type BatchAnswer, type BatchTools } from '../../lib/batch.js'
import { Deadline } from '../../lib/deadline.js'
import { isTraced } from '../../lib/events.js'
import { toItem, type Item, type Layout } from '../../lib/item.js'
import { DynamoRepository } from '../../lib/repository.js'
import { hash } from '../../lib/token.js'
import { aRecord } from '../../testing/records.js'
import { makeGate } from '../support/gate.js'

const itemOf = (key: string): Item => ({ id: { S: key } })

/** What a call brings: all but the keys that are left unprocessed, and nothing for keys that begin with `no`. */
function answer (keys: readonly string[], unprocessed: readonly string[] = []): BatchAnswer {
  const found = keys.filter(key => !unprocessed.includes(key) && !key.startsWith('no'))
  return { items: new Map(found.map(key => [key, itemOf(key)])), unprocessed: new Set(unprocessed) }
}

interface Call { readonly keys: readonly string[], readonly consistent: boolean }

/** Batches over calls that a test answers; `pauses` are the milliseconds that they wait between two calls. */
function setUp (answers: Array<(call: Call) => BatchAnswer | Promise<BatchAnswer>> = [], tools: Partial<BatchTools> = {}) {
  const calls: Call[] = []
  const pauses: number[] = []
  const batches = new Batches({
    ask: async (keys, consistent) => {
      calls.push({ keys, consistent })
      return await (answers.shift() ?? (({ keys }) => answer(keys)))({ keys, consistent })
    },
    deadline: () => new Deadline(60),
    random: () => 0.5,
    sleep: async ms => { pauses.push(ms) },
    ...tools
  })
  /** As a load does: what became of a key. */
  const find = async (key: string, consistent = false) => {
    const batch = await batches.join(key, consistent)
    return batch === undefined ? 'alone' : await batch.find(key)
  }
  return { batches, calls, pauses, find }
}

t.test('keys of one turn of the event loop are read by one call, and each gets its own item', async t => {
  const { find, calls } = setUp()
  t.same(await Promise.all(['a', 'nobody', 'b'].map(async key => await find(key))), [itemOf('a'), undefined, itemOf('b')])
  t.same(calls, [{ keys: ['a', 'nobody', 'b'], consistent: false }])
})

t.test('a key that is by itself in its turn travels alone', async t => {
  const { find, calls } = setUp()
  t.equal(await find('a'), 'alone')
  const first = find('b')
  await nextTurn()
  await nextTurn()
  t.same([await first, await find('c')], ['alone', 'alone'])
  t.same(calls, [])
})

t.test('what is asked for in callbacks, microtasks and ticks of one turn is together', async t => {
  const { find, calls } = setUp()
  const found = [find('a'), Promise.resolve().then(async () => await find('b')), new Promise(resolve => { process.nextTick(() => resolve(find('c'))) })]
  t.same(await Promise.all(found), ['a', 'b', 'c'].map(itemOf))
  t.equal(calls.length, 1)
})

t.test('what comes after the turn is another batch, also while the first one is under way', async t => {
  const gate = makeGate()
  const { find, calls } = setUp([async ({ keys }) => {
    await gate.passed
    return answer(keys)
  }])
  const first = Promise.all([find('a'), find('b')])
  await nextTurn()
  await nextTurn()
  t.same(await Promise.all([find('a'), find('c')]), [itemOf('a'), itemOf('c')], 'the second is not held up')
  gate.open()
  t.same(await first, [itemOf('a'), itemOf('b')])
  t.same(calls.map(({ keys }) => keys), [['a', 'b'], ['a', 'c']])
})

t.test('a call names a hundred keys at most, and each once', async t => {
  const names = (count: number) => Array.from({ length: count }, (_, index) => `key ${index}`)
  for (const [count, sizes] of [[100, [100]], [101, [100]], [102, [100, 2]], [250, [100, 100, 50]]] as const) {
    const { find, calls } = setUp()
    const found = await Promise.all(names(count).map(async key => await find(key)))
    t.same(calls.map(({ keys }) => keys.length), sizes)
    t.same(found, names(count).map((key, index) => index === 100 && count === 101 ? 'alone' : itemOf(key)))
  }
  const { find, calls } = setUp()
  t.same(await Promise.all([find('a'), find('a'), find('b')]), [itemOf('a'), 'alone', itemOf('b')])
  t.same(calls.map(({ keys }) => keys), [['a', 'b']])
})

t.test('strongly consistent reads have a batch of their own', async t => {
  const { find, calls } = setUp()
  t.same(await Promise.all([find('a'), find('a', true), find('b'), find('c', true)]), ['a', 'a', 'b', 'c'].map(itemOf))
  t.same(calls, [{ keys: ['a', 'b'], consistent: false }, { keys: ['a', 'c'], consistent: true }])
})

t.test('keys that were left unprocessed are read again, and who has an answer does not wait for them', async t => {
  const gate = makeGate()
  const { find, calls, pauses } = setUp([
    ({ keys }) => answer(keys, ['b', 'nobody', 'd']),
    async ({ keys }) => {
      await gate.passed
      return answer(keys, ['d'])
    }
  ])
  const [a, b, nobody, d] = ['a', 'b', 'nobody', 'd'].map(async key => await find(key))
  t.same(await a, itemOf('a'))
  gate.open()
  t.same([await b, await nobody], [itemOf('b'), undefined])
  t.equal(await d, LEFT_OVER, 'the last one is left to a call of its own')
  t.same(calls.map(({ keys }) => keys), [['a', 'b', 'nobody', 'd'], ['b', 'nobody', 'd']])
  t.same(pauses, [50, 50], 'half of 100 ms each, since each call brought something')
})

t.test('calls in vain follow each other with pauses as those of the SDK: twice as long each, 20 s at most', async t => {
  const { find, pauses } = setUp(Array.from({ length: 10 }, () => ({ keys }: Call) => answer(keys, keys)))
  t.same(await Promise.all([find('a'), find('b')]), [itemOf('a'), itemOf('b')])
  t.same(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000])
})

t.test('a pause ends with the time limit, and whoever is left over fails with it', async t => {
  // The pause itself would be longer than the test may take, and is not left behind.
  const { find } = setUp([({ keys }) => answer(keys, ['b', 'c'])], { deadline: () => new Deadline(0.03), random: () => 10_000, sleep: undefined })
  const timers = (): number => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const before = timers()
  const start = performance.now()
  const [a, b, c] = [find('a'), find('b'), find('c')] as const
  t.same(await a, itemOf('a'))
  await t.rejects(b, { name: 'TimeoutError' })
  await t.rejects(c, { name: 'TimeoutError' })
  t.ok(performance.now() - start >= 25)
  t.equal(timers(), before)
})

t.test('without a pause of its own making, a random part of the time is waited for real', async t => {
  const { find, calls } = setUp([({ keys }) => answer(keys, ['b', 'c'])], { random: () => 0.2, sleep: undefined })
  const start = performance.now()
  t.same(await Promise.all(['a', 'b', 'c'].map(async key => await find(key))), ['a', 'b', 'c'].map(itemOf))
  t.ok(performance.now() - start >= 15)
  t.equal(calls.length, 2)
})

t.test('a call that fails fails those that it was to answer, and nobody whose answer has come', async t => {
  const failure = new Error('throttled')
  const { find, batches } = setUp([
    ({ keys }) => answer(keys, ['b', 'c']),
    () => { throw failure },
    () => { throw failure }
  ])
  const [a, b, c] = [find('a'), find('b'), find('c')] as const
  t.same(await a, itemOf('a'))
  await t.rejects(b, failure)
  await t.rejects(c, failure)
  const [first] = await Promise.all([batches.join('d', false), batches.join('e', false)])
  await nextTurn()
  await t.rejects((first as Batch).find('d'), failure, 'also for whoever looks late, and a failure that nobody looks at disturbs nobody')
})

t.test('the time limit of a batch is one, from the moment at which it is read', async t => {
  const limits: Deadline[] = []
  const seen: Deadline[] = []
  const { find, batches } = setUp([], {
    deadline: () => {
      limits.push(new Deadline(60))
      return limits[0] as Deadline
    },
    ask: async (keys, _consistent, deadline) => {
      seen.push(deadline)
      return answer(keys, keys.length > 2 ? ['b', 'c'] : [])
    }
  })
  const joined = batches.join('a', false)
  const others = Promise.all(['b', 'c'].map(async key => await find(key)))
  t.same(limits, [], 'not while others may still come')
  const batch = await joined
  await others
  t.equal(limits.length, 1)
  t.same([seen.length, new Set([...seen, batch?.deadline, limits[0]]).size], [2, 1], 'and it is that of whatever goes on from there')
})

t.test('a turn of the event loop that is longer than the time limit takes nothing of it', async t => {
  const turn = makeGate()
  const calls: Array<readonly string[]> = []
  const { find } = setUp([], {
    deadline: () => new Deadline(0.02),
    endOfTurn: run => { turn.passed.then(run, run) },
    ask: async (keys, _consistent, deadline) => await deadline.run(async () => {
      calls.push(keys)
      return answer(keys)
    })
  })
  const found = ['a', 'b'].map(async key => await find(key))
  await sleep(40)
  turn.open()
  t.same(await Promise.all(found), ['a', 'b'].map(itemOf))
  t.equal(calls.length, 1)
})

t.test('an answer', async t => {
  const layout = (parts: Partial<Layout> = {}): Layout => ({ table: 'sessions', partitionKey: { name: 'id', type: 'S' }, keyPrefix: '', ttlAttribute: 'expires', ...parts })
  const [a, b, c] = [hash('a'), hash('b'), hash('c')]
  const output = (parts: Omit<BatchGetItemCommandOutput, '$metadata'>): BatchGetItemCommandOutput => ({ $metadata: {}, ...parts })

  await t.test('is read by the keys in it, in whatever order, under the name of the table or its ARN', async t => {
    for (const table of ['sessions', 'arn:aws:dynamodb:eu-central-1:111122223333:table/sessions']) {
      const { items, unprocessed } = readAnswer(output({
        Responses: { [table]: [itemOf(b), itemOf(a)] }, UnprocessedKeys: { [table]: { Keys: [{ id: { S: c } }] } }
      }), [a, b, c], layout())
      t.same([items, unprocessed], [new Map([[b, itemOf(b)], [a, itemOf(a)]]), new Set([c])])
    }
  })

  await t.test('is read with prefixes and with keys of bytes', async t => {
    const shop = readAnswer(output({ Responses: { sessions: [{ id: { S: `shop#${a}` } }] } }), [a, b], layout({ keyPrefix: 'shop#' }))
    t.same([...shop.items.keys()], [a])
    const bytes = { pk: { B: new Uint8Array(Buffer.from(a, 'base64url')) } }
    const binary = readAnswer(output({ Responses: { sessions: [bytes] } }), [a, b], layout({ partitionKey: { name: 'pk', type: 'B' } }))
    t.same([...binary.items], [[a, bytes]])
  })

  await t.test('with a key that nobody asked for is not believed', async t => {
    const refused = /a key that was not asked for/
    for (const item of [itemOf(c), {}, { id: { B: new Uint8Array(3) } }, { id: { N: '1' } }]) {
      t.throws(() => readAnswer(output({ Responses: { sessions: [itemOf(a), item] } }), [a, b], layout()), refused)
      t.throws(() => readAnswer(output({ Responses: { sessions: [] }, UnprocessedKeys: { sessions: { Keys: [item] } } }), [a, b], layout()), refused)
    }
    t.throws(() => readAnswer(output({ Responses: { sessions: [itemOf(a)] } }), [a, b], layout({ keyPrefix: 'shop#' })), refused, 'nor one of another prefix')
    t.throws(() => readAnswer(output({ Responses: { sessions: [{ id: { S: a } }] } }), [a, b], layout({ partitionKey: { name: 'id', type: 'B' } })), refused)
  })

  await t.test('that tells nothing of some keys is no proof that they are absent', async t => {
    const refused = /tells nothing of some keys/
    for (const parts of [{}, { Responses: {} }, { UnprocessedKeys: { sessions: { Keys: [{ id: { S: a } }] } } }, { UnprocessedKeys: { sessions: { Keys: undefined } } }]) {
      t.throws(() => readAnswer(output(parts), [a, b], layout()), refused)
    }
    const empty = readAnswer(output({ Responses: { sessions: [] } }), [a, b], layout())
    t.same([empty.items.size, empty.unprocessed.size], [0, 0], 'an empty list is one')
    const none = readAnswer(output({ UnprocessedKeys: { sessions: { Keys: [{ id: { S: a } }, { id: { S: b } }] } } }), [a, b], layout())
    t.equal(none.unprocessed.size, 2, 'and all of them may be left')
  })
})

t.test('a repository to whose calls nobody listens', async t => {
  const layout: Layout = { table: 'sessions', partitionKey: { name: 'id', type: 'S' }, keyPrefix: '', ttlAttribute: 'expires' }
  const records = ['one', 'other'].map(name => aRecord({ key: hash(name) }))
  /** Nothing else in this file's process listens: what all tests print is searched elsewhere. */
  const repositoryOf = (together: () => unknown) => {
    const calls: string[] = []
    const refused: Error[] = []
    const client = {
      send: async (command: { input: { Key?: Item } }) => {
        calls.push(command.constructor.name)
        const ConsumedCapacity = { CapacityUnits: 0.5 }
        if (command instanceof BatchGetItemCommand) return await together()
        return { Item: records.map(record => toItem(record, layout)).find(item => item['id']?.S === command.input.Key?.['id']?.S), ConsumedCapacity }
      }
    }
    const batches = { strong: false, onRefused: (error: Error) => { refused.push(error) } }
    const settings = { layout, timeout: 60, maxSize: 400_000, onGhost: () => {}, batches }
    const repository = new DynamoRepository(client as unknown as DynamoDBClient, settings)
    return { calls, refused, load: async () => await Promise.allSettled(records.map(async ({ key }) => await repository.load(key, false))) }
  }

  await t.test('reads what starts together by one call', async t => {
    t.equal(isTraced('load'), false)
    const { load, calls } = repositoryOf(() => ({ Responses: { sessions: records.map(record => toItem(record, layout)) }, ConsumedCapacity: [{ CapacityUnits: 1 }] }))
    t.match(await load(), records.map(({ key }) => ({ status: 'fulfilled', value: { key } })))
    t.same(calls, ['BatchGetItemCommand'])
  })

  await t.test('fails each read of a call that failed by an error of its own, which tells no more than it may', async t => {
    const { load, calls } = repositoryOf(() => { throw new Error('arn:aws:iam::123456789012:role/x is slow') })
    const [one, other] = await load() as [PromiseRejectedResult, PromiseRejectedResult]
    for (const { reason } of [one, other]) t.match(reason, { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE', cause: { message: 'arn:[redacted] is slow' } })
    t.not(one.reason, other.reason)
    t.same(calls, ['BatchGetItemCommand'])
  })

  await t.test('reads one by one where batches are refused, and says so once', async t => {
    const { load, calls, refused } = repositoryOf(() => { throw Object.assign(new Error('no'), { name: 'AccessDeniedException' }) })
    for (let time = 0; time < 2; time++) t.match(await load(), records.map(({ key }) => ({ status: 'fulfilled', value: { key } })))
    t.same(calls, ['BatchGetItemCommand', ...Array.from({ length: 4 }, () => 'GetItemCommand')])
    t.match(refused, [{ name: 'AccessDeniedException' }])
    t.equal(refused.length, 1)
  })
})
