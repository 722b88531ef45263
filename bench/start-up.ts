import type { Ready, Settings } from './applications/serve.js'
import { compiled } from './build.js'
import { start, stop } from './child.js'
import type { Contestant } from './contestants.js'
import type { StartUp } from './results.js'
import { interleaved } from './statistics.js'

/** How long applications take until their packages are there, and until they listen. The first start of each only fills caches. */
export async function measureStartUp (contestants: readonly Contestant[], settings: Settings, starts: number): Promise<StartUp[]> {
  const readies = new Map<string, Ready[]>(contestants.map(({ id }) => [id, []]))
  for (const [round, order] of interleaved(contestants, starts + 1).entries()) {
    for (const { id, program, options } of order) {
      const { child, ready } = await start<Ready>(compiled(program), { ...settings, ...options !== undefined && { options } })
      await stop(child)
      if (round > 0) readies.get(id)?.push(ready)
    }
  }
  return [...readies].map(([contestant, all]) => ({
    contestant, imported: all.map(({ imported }) => imported), listening: all.map(({ listening }) => listening)
  }))
}
