import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import type { Pages } from './pages.js'
import { HEADERS } from './security.js'
import type { Watch } from './watch.js'

/** A stream of server-sent events: the parts of a page that have changed, ready to be put in. */
export function addEvents (app: FastifyInstance, pages: Pages, watch: Watch): void {
  // Not for HEAD: what nobody reads never ends.
  app.get('/events', { config: { session: false }, exposeHeadRoute: false }, async (_request, reply) => {
    const events = follow(watch, async () => (await pages.live()).map(([name, html]) => event(name, html)).join(''))
    return reply.headers({ ...HEADERS, 'x-accel-buffering': 'no' }).type('text/event-stream').send(events)
  })
}

/** Tells of changes, once of those of the same moment. Who reads slowly misses what was meanwhile, and nothing heaps up. */
export function follow ({ changes }: Pick<Watch, 'changes'>, tell: () => Promise<string>): Readable {
  // What happened between the page and this stream is not to be missed.
  let hasNews = true
  let isAsked = false
  const events = new Readable({
    read: () => {
      isAsked = true
      send()
    },
    destroy: (error, done) => {
      changes.off('change', note)
      done(error)
    }
  })
  changes.on('change', note)
  return events

  function note (): void {
    hasNews = true
    send()
  }

  function send (): void {
    if (!hasNews || !isAsked) return
    isAsked = false
    setImmediate(() => {
      hasNews = false
      tell().then(text => { events.push(text) }, (error: Error) => { events.destroy(error) })
    })
  }
}

function event (name: string, text: string): string {
  return `event: ${name}\n${text.split('\n').map(line => `data: ${line}\n`).join('')}\n`
}
