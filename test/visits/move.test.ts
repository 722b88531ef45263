import t from 'tap'
import { errors } from '../../lib/errors.js'
import { endingBoth, Move } from '../../lib/move.js'
import type { Source } from '../../lib/source.js'
import { Remarks } from '../support/memory.js'

/** A table of another store whose deletions end one after the other as they are told. */
function sourceOf (keep: boolean, ...outcomes: Array<boolean | undefined | Error>): { readonly source: Source, readonly removed: string[] } {
  const removed: string[] = []
  const remove = async (id: string): Promise<boolean | undefined> => {
    removed.push(id)
    const outcome = outcomes.shift()
    if (outcome instanceof Error) throw outcome
    return outcome
  }
  return { source: { reader: { keep }, remove } as unknown as Source, removed }
}

const NEW = { token: { id: 'an id', record: {} } } as unknown as Parameters<Move['finish']>[0]
const down = (): Error => new errors.Unavailable()

t.test('without a new token, or for a visitor who has left, the old record stays', async t => {
  const { source, removed } = sourceOf(false)
  const move = new Move([{ source, id: 'old' }], 'key')
  t.equal(await move.finish({}, false, new Remarks()), 'open')
  t.equal(await move.finish(NEW, true, new Remarks()), 'open')
  t.same(removed, [])
})

t.test('who deletes the old record has moved it, who finds it gone is late, and where nobody knows the new session stays', async t => {
  for (const [wasThere, outcome] of [[true, 'done'], [false, 'late'], [undefined, 'done']] as const) {
    const { source, removed } = sourceOf(false, wasThere)
    const move = new Move([{ source, id: 'old' }], 'key')
    t.same(await Promise.all([move.finish(NEW, false, new Remarks()), move.finish(NEW, false, new Remarks())]), [outcome, outcome])
    t.same(removed, ['old'], 'once for all that moved it together')
  }
})

t.test('a record that is left over is told to the log; after that, nobody is late', async t => {
  const { source } = sourceOf(false, down(), false)
  const move = new Move([{ source, id: 'old' }], 'key')
  const log = new Remarks()
  t.equal(await move.finish(NEW, false, log), 'done')
  t.match(log.messages, [/could not be deleted/])
  t.equal(await move.finish(NEW, false, log), 'done', 'the first attempt may have been the one')
})

t.test('a kept record stays and its cookie serves on, until a log-out ends both or fails', async t => {
  const { source, removed } = sourceOf(true, down(), true)
  const move = new Move([{ source, id: 'old' }], 'key')
  t.equal(await move.finish(NEW, false, new Remarks()), 'done')
  t.same([removed, move.served], [[], []])
  await t.rejects(move.finish({ token: 'clear' }, false, new Remarks()), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
  t.equal(await move.finish({ token: 'clear' }, false, new Remarks()), 'done')
  t.same([removed, move.served], [['old', 'old'], [source.reader]])
})

t.test('a session that is destroyed ends what it was moved from, after it', async t => {
  const { source, removed } = sourceOf(true, true)
  const acts: string[] = []
  const writer = {
    carryOut: async () => { acts.push('carryOut') },
    destroy: async () => { acts.push(`destroy, ${removed.length} removed`) },
    destroyKey: async () => { acts.push('destroyKey') }
  }
  const both = endingBoth(writer, new Move([{ source, id: 'old' }], 'key'))
  await both.carryOut({} as never, { kind: 'nothing' }, new Remarks())
  await both.destroyKey('key', new Remarks())
  t.same(removed, [])
  await both.destroy({} as never, new Remarks())
  t.same([acts, removed], [['carryOut', 'destroyKey', 'destroy, 0 removed'], ['old']])
})
