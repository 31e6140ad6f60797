// What the suites share. The server under test is named by the environment:
//
//   ZAP_URL, ZAP_PLC_URL    where it and its PLC directory are
//   ZAP_ADMIN_TOKEN         opens agent.admin.*; without it the suites keep to com.atproto, so that they run
//                           against any PDS

import assert from 'node:assert/strict'
import { AtpAgent } from '@atproto/api'
import { IdResolver, getDidKeyFromMultibase } from '@atproto/identity'

export const url = process.env.ZAP_URL
export const plcUrl = process.env.ZAP_PLC_URL
export const adminToken = process.env.ZAP_ADMIN_TOKEN
assert(url && plcUrl, 'ZAP_URL and ZAP_PLC_URL say which server to test')

export const password = 'correct horse battery'
// The resolver's own fetch refuses loopback, as it should.
export const resolver = new IdResolver({ plcUrl, fetch: globalThis.fetch })

const run = Date.now().toString(36).slice(-6)
let accounts = 0

/** A handle nobody has. */
export const newHandle = (name = 'user') => `${name}${++accounts}-${run}.test`

/** A new account and a client that is logged in to it. */
export async function newAccount(name) {
  const agent = new AtpAgent({ service: url })
  const handle = newHandle(name)
  await agent.createAccount({ handle, email: `${handle.split('.')[0]}@example.com`, password })
  return { agent, did: agent.session.did, handle, repo: agent.com.atproto.repo, server: agent.com.atproto.server }
}

/** A client without a session. */
export const stranger = () => new AtpAgent({ service: url })

/** The key that signs the account's repo, from its DID document, past all caches. */
export async function signingKey(did) {
  const document = await resolver.did.resolve(did, true)
  const method = document.verificationMethod.find((method) => method.id.endsWith('#atproto'))
  return getDidKeyFromMultibase({ type: method.type, publicKeyMultibase: method.publicKeyMultibase })
}

/** The promise fails with this error name, and this status if given. */
export async function fails(promise, error, status) {
  const names = [error].flat()
  await assert.rejects(promise, (caught) => {
    assert(names.includes(caught.error), `${caught.status} ${caught.error}: ${caught.message}, not ${names.join(' or ')}`)
    if (status) assert.equal(caught.status, status)
    return true
  })
}

/** A call with the admin's or an agent's token, for methods @atproto/api does not know. */
export async function call(token, nsid, input) {
  const response = await fetch(`${url}/xrpc/${nsid}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(input),
  })
  const body = await response.json()
  assert.equal(response.status, 200, `${nsid}: ${JSON.stringify(body)}`)
  return body
}

export const post = (text, more = {}) => ({
  $type: 'app.bsky.feed.post',
  text,
  createdAt: new Date().toISOString(),
  ...more,
})

/** The bytes of a query's answer. */
export async function bytes(nsid, params) {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(params)) {
    for (const item of [value].flat()) query.append(name, item)
  }
  const response = await fetch(`${url}/xrpc/${nsid}?${query}`)
  assert.equal(response.status, 200, `${nsid}: ${response.status}`)
  return new Uint8Array(await response.arrayBuffer())
}
