// One merged interface for all tests: two files that declare one key with two types would not compile together.
declare module '../../index.js' {
  interface SessionData {
    userId: string
    cart: string[]
    count: number
    profile: { name: string, tags: string[] }
    flash: Record<string, string[]>
    [key: `any:${string}`]: unknown
  }
}

export {}
