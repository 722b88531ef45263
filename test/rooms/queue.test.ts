import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { errors } from '../../lib/errors.js'
import { UpdateQueue, type Latest, type Line } from '../../lib/queue.js'
import { makeGate } from '../support/gate.js'
import { startLimit } from '../support/limit.js'

/** Seconds. One queue waits so long that only its line decides, the other so short that its wait is over soon. */
const LONG = 60
const SHORT = 0.03

t.test('an update that is alone does not wait, and gives what it gives', async t => {
  const queue = new UpdateQueue(LONG)
  t.equal(await queue.run('k', async () => 'result'), 'result')
  await t.rejects(queue.run('k', async () => { throw new Error('refused') }), new Error('refused'))
})

t.test('updates of one session run one after the other, in the order in which they came', async t => {
  const queue = new UpdateQueue(LONG)
  const notes: number[] = []
  const gate = makeGate()
  const runs = [1, 2, 3].map(async number => await queue.run('k', async () => {
    notes.push(number)
    if (number === 1) await gate.passed
    notes.push(-number)
    return number
  }))
  await turn()
  t.same(notes, [1])
  gate.open()
  t.same(await Promise.all(runs), [1, 2, 3])
  t.same(notes, [1, -1, 2, -2, 3, -3])
})

t.test('updates of other sessions do not wait', async t => {
  const queue = new UpdateQueue(LONG)
  const gate = makeGate()
  const held = queue.run('k', async () => { await gate.passed })
  t.equal(await queue.run('other', async () => 'other'), 'other')
  gate.open()
  await held
})

t.test('one that fails keeps nobody waiting', async t => {
  const queue = new UpdateQueue(LONG)
  const [failed, next] = [queue.run('k', async () => { throw new Error('refused') }), queue.run('k', async () => 'next')]
  await t.rejects(failed, new Error('refused'))
  t.equal(await next, 'next')
})

t.test('what one leaves is there for those who wait behind it, of this session only, and is forgotten with the last of them', async t => {
  const queue = new UpdateQueue(LONG)
  const latest: Latest = { version: 2, value: { S: '1' } }
  const seen: Array<Latest | undefined> = []
  const look = async ({ latest }: Line): Promise<void> => { seen.push(latest.get('count')) }
  const first = queue.run('k', async line => { line.latest.set('count', latest) })
  await Promise.all([first, queue.run('k', look), queue.run('other', look), queue.run('k', look)])
  t.same(seen, [undefined, latest, latest])
  await queue.run('k', look)
  t.equal(seen[3], undefined)
})

t.test('an update waits for its forerunner as long as it may, and then goes ahead', async t => {
  const queue = new UpdateQueue(SHORT)
  const start = performance.now()
  // The one waits for the other, which would wait for the one for ever.
  t.equal(await queue.run('k', async () => await queue.run('k', async () => 'inner')), 'inner')
  const took = performance.now() - start
  t.ok(took >= 25 && took < 1000, `${took} ms`)
})

t.test('where one takes too long, or the table does not answer, all who wait go at once', async t => {
  for (const [seconds, first] of [
    [SHORT, async (held: Promise<void>) => { await held }],
    [LONG, async () => { throw new errors.Unavailable({ cause: new Error('cut off') }) }]
  ] as const) {
    const queue = new UpdateQueue(seconds)
    const [held, gate] = [makeGate(), makeGate()]
    const begun: number[] = []
    const running = queue.run('k', async () => { await first(held.passed) }).catch(() => {})
    const waiting = [2, 3].map(async number => await queue.run('k', async () => {
      if (begun.push(number) === 2) gate.open()
      await gate.passed
    }))
    await Promise.all(waiting)
    t.same(begun, [2, 3], 'neither waits for the other')
    held.open()
    await running
  }
})

t.test('who comes to a line in which one took too long waits for nobody', async t => {
  const queue = new UpdateQueue(SHORT)
  const [held, begun] = [makeGate(), makeGate()]
  const first = queue.run('k', async () => { await held.passed })
  const second = queue.run('k', async () => {
    begun.open()
    await held.passed
  })
  await begun.passed
  let late = false
  const third = queue.run('k', async () => { late = true })
  await turn()
  t.equal(late, true)
  held.open()
  await Promise.all([first, second, third])
})

t.test('no timer is left behind, so that a process can end', async t => {
  const timers = (): number => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const before = timers()
  const queue = new UpdateQueue(LONG)
  await Promise.all([1, 2, 3].map(async () => await queue.run('k', turn)))
  t.equal(timers(), before)
})

t.test('a line pauses after twelve in a row for others to come in between, and after three where it has noticed others', async t => {
  for (const [isContended, longestRun] of [[false, 12], [true, 3]] as const) {
    const queue = new UpdateQueue(LONG)
    const starts: number[] = []
    await Promise.all(Array.from({ length: longestRun + 2 }, async () => await queue.run('k', async line => {
      Object.assign(line, { isContended, took: 10 })
      starts.push(performance.now())
    })))
    const gaps = starts.slice(1).map((start, index) => start - (starts[index] as number))
    const longest = Math.max(...gaps)
    t.equal(gaps.indexOf(longest), longestRun - 1, `${longestRun} go without a pause`)
    t.ok(longest >= 59, `then the next waits for six writes' time: ${longest} ms`)
  }
})

t.test('however slow the table is, a line pauses for a quarter of a second at most', async t => {
  const queue = new UpdateQueue(LONG)
  const starts: number[] = []
  await Promise.all(Array.from({ length: 13 }, async () => await queue.run('k', async line => {
    line.took = 1000
    starts.push(performance.now())
  })))
  const [twelfth = 0, last = 0] = starts.slice(-2)
  t.ok(last - twelfth >= 240 && last - twelfth < 2000, `${last - twelfth} ms`)
})

t.test('where the table does not answer, a line that was to pause goes at once', async t => {
  const queue = new UpdateQueue(LONG)
  let limit: ReturnType<typeof startLimit> | undefined
  await Promise.allSettled(Array.from({ length: 14 }, async (_, number) => await queue.run('k', async line => {
    line.took = 40
    if (number !== 11) return
    // Half of the pause.
    limit = startLimit(120)
    throw new errors.Unavailable({ cause: new Error('cut off') })
  })))
  t.equal(limit?.stop(), false)
})

t.test('a line that is never empty keeps nothing of those who have gone', async t => {
  const queue = new UpdateQueue(LONG)
  const waiting: number[] = []
  const act = async (line: Line): Promise<void> => { waiting.push((line as Line & { waiting: Set<unknown> }).waiting.size) }
  await Promise.all([1, 2, 3].map(async () => {
    for (let number = 0; number < 100; number++) await queue.run('k', act)
  }))
  t.equal(waiting.length, 300)
  t.ok(Math.max(...waiting) <= 3, 'but of those who wait')
})
