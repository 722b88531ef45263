import t from 'tap'
import { createFormats } from '../../lib/codec.js'
import { errors } from '../../lib/errors.js'
import { createIndexing } from '../../lib/indexing.js'
import { writeIndexed } from '../../lib/refusal.js'
import type { Layout } from '../../lib/item.js'
import { PLAIN } from '../support/forms.js'

const index = createIndexing(['user'], { formats: createFormats('json'), envelope: PLAIN })
const LAYOUT: Layout = { table: 'sessions', partitionKey: { name: 'id', type: 'S' }, keyPrefix: '', ttlAttribute: 'expires', index }

/** Writes whose outcomes are these, one after the other. */
async function write (...outcomes: Array<string | Error>) {
  const indexes: unknown[] = []
  const refused: string[] = []
  const settings = { layout: LAYOUT, onIndexRefused: (key: string) => { refused.push(key) } }
  const written = writeIndexed(settings, 'KEY', async layout => {
    indexes.push(layout.index)
    const outcome = outcomes.shift()
    if (outcome instanceof Error) throw outcome
    return outcome
  })
  return { written: await written.catch((error: unknown) => error), indexes, refused }
}

const invalid = new errors.Unavailable({ cause: Object.assign(new Error('Type mismatch for Index Key'), { name: 'ValidationException' }) })

t.test('a write that no index refuses is made once', async t => {
  t.same(await write('done'), { written: 'done', indexes: [index], refused: [] })
})

t.test('one that is refused as invalid is made again without attributes, and told of', async t => {
  t.same(await write(invalid, 'done'), { written: 'done', indexes: [index, index.withoutValues], refused: ['KEY'] })
})

t.test('one that is invalid without them too fails as it did, and no index is blamed', async t => {
  t.same(await write(invalid, invalid), { written: invalid, indexes: [index, index.withoutValues], refused: [] })
})

t.test('any other failure is not repeated: its outcome may not be known', async t => {
  for (const error of [new errors.Unavailable({ cause: new Error('no answer') }), errors.Gone(), new Error('a defect')]) {
    t.same(await write(error, 'done'), { written: error, indexes: [index], refused: [] })
  }
})

t.test('without index keys a write is made as it is, whatever becomes of it', async t => {
  const { index: _, ...layout } = LAYOUT
  t.equal(await writeIndexed({ layout }, 'KEY', async () => 'done'), 'done')
  let writes = 0
  await t.rejects(writeIndexed({ layout }, 'KEY', async () => {
    writes += 1
    throw invalid
  }), invalid)
  t.equal(writes, 1)
})

t.test('nobody needs to listen', async t => {
  let writes = 0
  t.equal(await writeIndexed({ layout: LAYOUT }, 'KEY', async () => {
    writes += 1
    if (writes === 1) throw invalid
    return writes
  }), 2)
})
