import { createBeside } from './beside.js'
import type { SessionManager } from './manager.js'
import type { Settings } from './options.js'

/** One registration of the plugin, for what works with an application from outside, such as its tests. */
export interface Registration {
  readonly settings: Settings
  readonly manager: SessionManager
}

/** Beside the servers, so that an application's own plugins find no secret. Contexts of an application share a server, and two may have the same name. */
const registrations = createBeside<readonly Registration[]>()

export function noteRegistration (server: object, registration: Registration): void {
  registrations.set(server, [...registrationsOn(server), registration])
}

export function registrationsOn (server: object): readonly Registration[] {
  return registrations.get(server) ?? []
}
