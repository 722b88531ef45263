import type { Test } from 'tap'

/** What a visit relies on, by name: how to do without it, and what comes of the visit then. */
export type Relied<Way> = Readonly<Record<string, readonly [way: Way, outcome: unknown]>>

/**
 * Tests a visit with all that it relies on, and then without each of it, which must show: what nobody would miss is not what the
 * visit relies on.
 */
export async function testVisit<Way> (
  t: Test, visit: (t: Test, without?: Way) => Promise<unknown>, outcome: unknown, relied: Relied<Way>
): Promise<void> {
  t.same(await visit(t), outcome)
  for (const [name, [way, other]] of Object.entries(relied)) {
    await t.test(`without ${name} it fails`, async t => {
      const found = await visit(t, way)
      t.same(found, other)
      t.notSame(found, outcome)
    })
  }
}
