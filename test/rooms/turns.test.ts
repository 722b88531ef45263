import { setImmediate as tick, setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { Turns } from '../../lib/turns.js'
import { makeGate } from '../support/gate.js'

/** Seconds. A question that takes so long that only what is called in it counts, and one whose time is up soon. */
const LONG = 60
const SHORT = 0.03

/** Acts that note when they begin and end. */
function makeActs () {
  const notes: string[] = []
  const act = (name: string, until: Promise<void> = Promise.resolve()) => async (): Promise<string> => {
    notes.push(`${name} begins`)
    await until
    notes.push(`${name} ends`)
    return name
  }
  return { notes, act }
}

t.test('acts run one after the other, in the order in which they were called, and give what they give', async t => {
  const turns = new Turns(LONG)
  const { notes, act } = makeActs()
  const gate = makeGate()
  const all = [turns.take(act('first', gate.passed)), turns.take(act('second')), turns.take(act('third'))]
  await tick()
  t.same(notes, ['first begins'])
  gate.open()
  t.same(await Promise.all(all), ['first', 'second', 'third'])
  t.same(notes, ['first begins', 'first ends', 'second begins', 'second ends', 'third begins', 'third ends'])
})

t.test('an act that fails is a failure of its own, and the next one runs', async t => {
  const turns = new Turns(LONG)
  const failed = turns.take(async () => { throw new Error('refused') })
  const next = turns.take(async () => 'next')
  await t.rejects(failed, new Error('refused'))
  t.equal(await next, 'next')
  t.equal(turns.isFree, true)
})

t.test('whether an act would run at once is known', async t => {
  const turns = new Turns(LONG)
  t.equal(turns.isFree, true)
  const gate = makeGate()
  const done = turns.take(async () => { await gate.passed })
  t.equal(turns.isFree, false, 'from the call on')
  gate.open()
  await done
  t.equal(turns.isFree, true)
})

t.test('an answer that comes at once is an answer too', async t => {
  const turns = new Turns(LONG)
  t.equal(await turns.take(async turn => await turn.ask(() => 'at once')), 'at once')
})

t.test('what the application calls and awaits while it is asked goes ahead of the act that asks, and of nothing else', async t => {
  const turns = new Turns(LONG)
  const { notes, act } = makeActs()
  const outer = turns.take(async turn => {
    notes.push(await turn.ask(async () => await turns.take(act('called'))))
    notes.push('outer ends')
  })
  const later = turns.take(act('later'))
  await Promise.all([outer, later])
  t.same(notes, ['later begins', 'later ends', 'called begins', 'called ends', 'called', 'outer ends'])
})

t.test('what is called while an act is asking, but not by the answer, waits for it', async t => {
  const turns = new Turns(LONG)
  const { notes, act } = makeActs()
  const gate = makeGate()
  const outer = turns.take(async turn => {
    await turn.ask(async () => { await gate.passed })
    notes.push('outer ends')
  })
  await tick()
  const other = turns.take(act('other'))
  await tick()
  t.same(notes, [])
  gate.open()
  await Promise.all([outer, other])
  t.same(notes, ['outer ends', 'other begins', 'other ends'])
})

t.test('an answer that failed at once is over: what is called after it waits for the act', async t => {
  const turns = new Turns(LONG)
  const { notes, act } = makeActs()
  const gate = makeGate()
  const outer = turns.take(async turn => {
    await t.rejects(turn.ask(() => { throw new Error('broken') }), new Error('broken'))
    await gate.passed
    notes.push('outer ends')
  })
  await tick()
  const other = turns.take(act('other'))
  await tick()
  t.same(notes, [])
  gate.open()
  await Promise.all([outer, other])
  t.same(notes, ['outer ends', 'other begins', 'other ends'])
})

t.test('what is awaited later in the answer, where nobody can tell who called it, goes ahead when the question has taken its time', async t => {
  const turns = new Turns(SHORT)
  const { notes, act } = makeActs()
  const start = performance.now()
  await turns.take(async turn => {
    await turn.ask(async () => {
      await tick()
      await turns.take(act('called'))
    })
    notes.push('outer ends')
  })
  const took = performance.now() - start
  t.ok(took >= 25 && took < 1000, `${took} ms`)
  t.same(notes, ['called begins', 'called ends', 'outer ends'])
})

t.test('an act whose question was answered in time is not left behind, however long it takes from then on', async t => {
  const turns = new Turns(SHORT)
  const { notes, act } = makeActs()
  const outer = turns.take(async turn => {
    await turn.ask(() => 'answer')
    await sleep(3 * SHORT * 1000)
    notes.push('outer ends')
  })
  await Promise.all([outer, turns.take(act('other'))])
  t.same(notes, ['outer ends', 'other begins', 'other ends'])
})

t.test('an act that went ahead may ask in turn, and let others go ahead of itself', async t => {
  const turns = new Turns(LONG)
  const { notes, act } = makeActs()
  await turns.take(async turn => {
    await turn.ask(async () => {
      await turns.take(async turn => {
        await turn.ask(async () => { await turns.take(act('innermost')) })
        notes.push('inner ends')
      })
    })
    notes.push('outer ends')
  })
  t.same(notes, ['innermost begins', 'innermost ends', 'inner ends', 'outer ends'])
})

t.test('an act may ask again, and what is called then goes ahead as well', async t => {
  const turns = new Turns(LONG)
  const { notes, act } = makeActs()
  await turns.take(async turn => {
    for (const name of ['first', 'second']) await turn.ask(async () => await turns.take(act(name)))
  })
  t.same(notes, ['first begins', 'first ends', 'second begins', 'second ends'])
})

t.test('an act that has let go and asks again lets go itself, and not the act that runs by then', async t => {
  for (const [seconds, wait] of [[LONG, async () => {}], [SHORT, async () => { await sleep(3 * SHORT * 1000) }]] as const) {
    const turns = new Turns(seconds)
    const { notes, act } = makeActs()
    const [again, running] = [makeGate(), makeGate()]
    let later: Promise<unknown> | undefined
    const outer = turns.take(async turn => {
      await turn.ask(async () => await turns.take(act('called')))
      await again.passed
      await turn.ask(async () => {
        later = turns.take(act('later'))
        await wait()
      })
    })
    await tick()
    const other = turns.take(act('running', running.passed))
    await tick()
    again.open()
    await outer
    await tick()
    t.same(notes, ['called begins', 'called ends', 'running begins'])
    running.open()
    await Promise.all([other, later])
    t.same(notes.slice(3), ['running ends', 'later begins', 'later ends'])
  }
})

t.test('idle is when no act is under way, nor one that was called meanwhile', async t => {
  const turns = new Turns(LONG)
  const { notes, act } = makeActs()
  await turns.idle()
  const gate = makeGate()
  const first = turns.take(act('first', gate.passed))
  const idle = turns.idle().then(() => { notes.push('idle') })
  const second = turns.take(act('second'))
  await tick()
  t.same(notes, ['first begins'])
  gate.open()
  await Promise.all([idle, first, second])
  t.same(notes, ['first begins', 'first ends', 'second begins', 'second ends', 'idle'])
})

t.test('idle waits for an act that let others go ahead, also where it is asked for after they have ended', async t => {
  const turns = new Turns(LONG)
  const { notes, act } = makeActs()
  const gate = makeGate()
  const outer = turns.take(async turn => {
    await turn.ask(async () => {
      await turns.take(act('called'))
      await gate.passed
    })
    notes.push('outer ends')
  })
  await tick()
  const idle = turns.idle().then(() => { notes.push('idle') })
  await tick()
  t.same(notes, ['called begins', 'called ends'])
  gate.open()
  await Promise.all([outer, idle])
  t.same(notes.slice(2), ['outer ends', 'idle'])
})

t.test('no timer is left behind, so that a process can end', async t => {
  const timers = (): number => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const before = timers()
  const turns = new Turns(LONG)
  await turns.take(async turn => await turn.ask(async () => 'answer'))
  await turns.take(async turn => await turn.ask(() => { throw new Error('broken') })).catch(() => {})
  t.equal(timers(), before)
})
