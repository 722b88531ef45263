import t from 'tap'
import { Underway } from '../../store/underway.js'

function makeAct (): { act: Promise<string>, resolve: (value: string) => void, reject: (error: Error) => void } {
  let [resolve, reject]: [(value: string) => void, (error: Error) => void] = [() => {}, () => {}]
  const act = new Promise<string>((...both) => { [resolve, reject] = both })
  return { act, resolve, reject }
}

t.test('who asks waits for all acts on a key, and for those of no other key', async t => {
  const underway = new Underway()
  const [one, two, other] = [makeAct(), makeAct(), makeAct()]
  const followed = [underway.follow('key', one.act), underway.follow('key', two.act)]
  underway.follow('other', other.act).catch(() => {})
  let hasEnded = false
  const ended = underway.ended('key').then(() => { hasEnded = true })
  two.resolve('two')
  t.equal(await followed[1], 'two')
  await underway.ended('a third')
  t.equal(hasEnded, false)
  let isStill = true
  const still = underway.ended('key').then(() => { isStill = false })
  await underway.ended('a third')
  t.equal(isStill, true, 'nor for the last one only')
  one.resolve('one')
  t.equal(await followed[0], 'one')
  await Promise.all([ended, still])
  t.equal(hasEnded, true)
})

t.test('an act that fails has ended too, and is told to who began it only', async t => {
  const underway = new Underway()
  const { act, reject } = makeAct()
  const followed = underway.follow('key', act)
  const ended = underway.ended('key')
  reject(new Error('away'))
  await t.rejects(followed, { message: 'away' })
  await ended
  await underway.ended('key')
})
