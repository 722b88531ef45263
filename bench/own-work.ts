import { compiled } from './build.js'
import { ask, start, stop } from './child.js'
import type { Rounds } from './plan.js'
import type { Work } from './results.js'

/** What the plugin itself does for a visit, measured apart from the SDK and the network. */
export async function measureOwnWork (rounds: Rounds): Promise<[Work, ...Work[]]> {
  const { child } = await start(compiled('own-work'))
  try {
    return await ask<[Work, ...Work[]]>(child, 'work', rounds)
  } finally {
    await stop(child)
  }
}
