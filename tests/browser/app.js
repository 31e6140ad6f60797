// An application in a browser, made of the unchanged client: what a test does with it is in oauth.test.mjs. SERVICE, PLC and
// CLIENT_ID are put in when it is bundled.

import { Agent } from '@atproto/api'
import { BrowserOAuthClient } from '@atproto/oauth-client-browser'

const client = await BrowserOAuthClient.load({
  clientId: CLIENT_ID,
  handleResolver: SERVICE,
  plcDirectoryUrl: PLC,
  allowHttp: true,
})

/** A session: one that is in the address, as a callback has it, or the one that was kept. */
let session

globalThis.application = {
  async init() {
    session = (await client.init(false))?.session
    return session?.did
  },
  signIn: (handle) => client.signInRedirect(handle),
  async who() {
    const { data } = await new Agent(session).com.atproto.server.getSession()
    return data
  },
  async post(text) {
    const record = { $type: 'app.bsky.feed.post', text, createdAt: new Date().toISOString() }
    const { data } = await new Agent(session).com.atproto.repo.createRecord({ repo: session.did, collection: record.$type, record })
    return data
  },
  async like(uri, cid) {
    return new Agent(session).like(uri, cid).then(() => 'done', (error) => [error.status, error.error])
  },
  async refresh() {
    const before = (await session.getTokenInfo(false)).expiresAt.getTime()
    session = await client.restore(session.did, true)
    return (await session.getTokenInfo(false)).expiresAt.getTime() > before
  },
  signOut: () => session.signOut(),
  restore: (did) => client.restore(did, true).then(() => 'restored', (error) => error.message),
}
