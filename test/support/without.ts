import type { FastifyInstance } from 'fastify'

/**
 * Takes a member of the session away from whatever comes after the plugin, as if we had never had it. What another package relies
 * on is proved by its test failing then.
 */
export function takeAway (app: FastifyInstance, member: string): void {
  app.addHook('onRequest', async request => {
    const session = request.session
    const value = new Proxy(session, {
      get: (target, key) => {
        if (key === member) return undefined
        const found: unknown = Reflect.get(target, key)
        return typeof found === 'function' ? found.bind(target) : found
      },
      has: (target, key) => key !== member && Reflect.has(target, key)
    })
    Object.defineProperty(request, 'session', { value, configurable: true })
  })
}
