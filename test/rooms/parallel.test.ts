import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { inParallel } from '../../lib/parallel.js'

t.test('so many are under way at once, and each thing is met once', async t => {
  let underWay = 0
  let most = 0
  const met: number[] = []
  await inParallel([1, 2, 3, 4, 5, 6, 7], 3, async thing => {
    most = Math.max(most, ++underWay)
    await nextTurn()
    met.push(thing)
    underWay -= 1
  })
  t.same([most, met.sort()], [3, [1, 2, 3, 4, 5, 6, 7]])
  await inParallel([], 3, async () => { t.fail('there is nothing') })
})

t.test('a failure is told when everything that was begun has ended', async t => {
  let ended = 0
  await t.rejects(inParallel([1, 2, 3], 2, async thing => {
    if (thing === 1) throw new Error('the first')
    await nextTurn()
    ended += 1
  }), { message: 'the first' })
  t.equal(ended, 2)
})
