// Packs the package, installs the tarball into an empty folder beside its peers, and uses it as applications do. What the tests
// import is the source; this is what users get. With `--measure` it also says, more exactly, how long imports take.
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import dynalite from 'dynalite'
import { Checks } from './package/checks.mjs'
import { Consumers } from './package/consumers.mjs'
import { Contents } from './package/contents.mjs'
import { checksOfLowestPeers } from './package/peers.mjs'
import { checksOfRelease } from './package/release.mjs'
import { measureStartUp, startUpTable } from './package/start-up.mjs'
import { Steps } from './package/steps.mjs'
import { checkReproducible, manifest, packHere } from './package/tarball.mjs'

const PEERS = ['fastify', '@aws-sdk/client-dynamodb', '@types/node']

const folder = mkdtempSync(join(tmpdir(), `${manifest.name}-package-`))
const engine = dynalite({ createTableMs: 0 })
const steps = new Steps()

async function test () {
  engine.listen(0, '127.0.0.1')
  await once(engine, 'listening')
  const packed = await packHere(folder)
  const consumers = new Consumers({ folder, tarball: packed.path, endpoint: `http://127.0.0.1:${engine.address().port}`, manifest })
  const { installed } = consumers
  await steps.all({
    'the tarball installs beside its peers': async () => {
      await consumers.install(installed, Object.fromEntries(PEERS.map(peer => [peer, manifest.devDependencies[peer]])))
    },
    ...checksOfLowestPeers(consumers)
  })
  if (steps.failed > 0) return
  await steps.all({
    ...consumers.checks(),
    'built and packed in another folder, it has the same bytes': async () => { await checkReproducible(folder, packed) },
    ...new Checks(packed, installed).checks(),
    ...new Contents(packed, installed).checks(),
    ...checksOfRelease(folder)
  })
  await steps.all(consumers.checksOfCompiled())
  console.log(startUpTable(await measureStartUp(installed, process.argv.includes('--measure') ? 21 : 3)))
}

try {
  await test()
} catch (error) {
  steps.failed++
  console.error(error instanceof Error ? error.message : error)
} finally {
  engine.closeAllConnections()
  engine.close()
  rmSync(folder, { recursive: true, force: true })
}
process.exitCode = steps.failed === 0 ? 0 : 1
