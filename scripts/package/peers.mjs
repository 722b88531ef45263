// The oldest peers that package.json allows: whoever has them is told by npm that they do.
import { rmSync } from 'node:fs'
import { ESM } from './applications.mjs'
import { manifest } from './tarball.mjs'

/** What npm says when a registry does not have something, or is not there. */
const NOT_TO_BE_HAD = /ETARGET|E404|ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|ENOTCACHED/

const lowest = Object.fromEntries(Object.entries(manifest.peerDependencies).map(([name, range]) => [name, range.replace(/^\^/, '')]))

const names = Object.entries(lowest).map(([name, version]) => `${name} ${version}`).join(' and ')

/** A registry that does not have them fails nothing, and that is said. */
export function checksOfLowestPeers (consumers) {
  return {
    [`it serves a visit with the oldest peers that package.json allows, ${names}`]: async () => {
      try {
        await consumers.install(consumers.lowest, { ...lowest, '@types/node': manifest.devDependencies['@types/node'] })
      } catch (error) {
        if (!NOT_TO_BE_HAD.test(error.message)) throw error
        rmSync(consumers.lowest, { recursive: true })
        return 'NOT CHECKED, the registry does not have them'
      }
      await consumers.visitFrom('esm.mjs', ESM, consumers.lowest)
    }
  }
}
