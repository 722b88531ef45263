// Express with express-session on either store. `resave` and `saveUninitialized` stand there because leaving them out warns.
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { changed, nameOf, type Part } from '../session-data.js'
import { clientConfig, dataFor, SECRET, serve } from './serve.js'
import { load, makeStore } from './stores.js'

/** Express and express-session as far as the routes use them. */
type Done = (error?: unknown) => void
interface TheirSession { part0?: Part, regenerate (done: Done): void, destroy (done: Done): void }
interface Request { session: TheirSession, readonly query: unknown }
interface Response { json (body: object): void }
type Handler = (request: Request, response: Response, next: Done) => void
interface Application {
  use (handler: Handler): void
  get (path: string, handler: Handler): void
  post (path: string, handler: Handler): void
  listen (port: number, host: string): Server
}

await serve(async settings => {
  const { store, ...options } = settings.options as { store: string }
  const app = (load('express') as () => Application)()
  const session = load('express-session') as (options: object) => Handler
  app.use(session({ secret: SECRET, resave: true, saveUninitialized: true, store: makeStore(new DynamoDBClient(clientConfig(settings)), settings.table, store), ...options }))

  app.get('/read', (request, response) => { response.json({ name: nameOf(request.session.part0) }) })
  app.post('/change', (request, response) => {
    request.session.part0 = changed(request.session.part0)
    response.json({})
  })
  app.post('/login', (request, response, next) => {
    request.session.regenerate(error => {
      if (error != null) return next(error)
      Object.assign(request.session, Object.fromEntries(dataFor(request.query)))
      response.json({})
    })
  })
  app.post('/logout', (request, response, next) => {
    request.session.destroy(error => error == null ? response.json({}) : next(error))
  })
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
