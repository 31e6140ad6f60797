// What goes through the server to an app view: a stub of one that looks at every call as the protocol's own services do.

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import { verifyJwt } from '@atproto/xrpc-server'
import { fails, newAccount, signingKey } from './harness.mjs'

const port = process.env.ZAP_APPVIEW_PORT
const appview = `did:web:localhost%3A${port}`
const calls = []
let answer = () => ({})

/** Verifies a call's token as a service does, then answers it. */
async function serve(request, response) {
  const url = new URL(request.url, `http://localhost:${port}`)
  const reply = (status, body, headers = {}) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify(body))
  }
  if (url.pathname === '/.well-known/did.json') {
    const service = [{ id: '#bsky_chat', type: 'BskyChatService', serviceEndpoint: `http://localhost:${port}` }]
    return reply(200, { id: appview, service })
  }
  const nsid = url.pathname.replace('/xrpc/', '')
  const token = request.headers.authorization?.replace('Bearer ', '') ?? ''
  const { iss } = await verifyJwt(token, appview, nsid, (iss) => signingKey(iss))
  let body = ''
  for await (const part of request) body += part
  calls.push({ iss, nsid, query: url.searchParams, headers: request.headers, body, method: request.method })
  const { status = 200, rev, body: said } = answer({ iss, nsid })
  reply(status, said, rev ? { 'atproto-repo-rev': rev } : {})
}

const server = createServer((request, response) =>
  serve(request, response).catch((error) => {
    response.writeHead(401, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ error: error.customErrorName ?? 'BadJwt', message: String(error) }))
  }),
)
const skip = port ? false : 'ZAP_APPVIEW_PORT names no app view of the server'
before(() => port && new Promise((resolve) => server.listen(Number(port), '127.0.0.1', resolve)))
after(() => server.close())

test('a timeline comes from the app view, in the name of who asks', { skip }, async () => {
  const { agent, did } = await newAccount()
  answer = () => ({ body: { feed: [], cursor: 'next' } })
  const { data } = await agent.getTimeline({ limit: 7 }, { headers: { 'accept-language': 'de', cookie: 'a=b' } })
  assert.deepEqual(data, { feed: [], cursor: 'next' })
  const call = calls.at(-1)
  assert.deepEqual([call.iss, call.nsid, call.query.get('limit')], [did, 'app.bsky.feed.getTimeline', '7'])
  assert.equal(call.headers['accept-language'], 'de')
  assert(call.headers['atproto-accept-labelers'], 'what the client sends of labelers goes on')
  assert.equal(call.headers.cookie, undefined)
})

test('who wrote sees it in profile and timeline before the app view has', { skip }, async () => {
  const { agent, did, handle } = await newAccount()
  await agent.post({ text: 'seen by the app view' })
  const { data } = await agent.com.atproto.sync.getLatestCommit({ did })
  const { uri } = await agent.post({ text: 'not seen yet' })
  await agent.upsertProfile((profile) => ({ ...profile, displayName: 'Renamed' }))
  const profile = { did, handle, displayName: 'Before', postsCount: 1 }
  answer = ({ nsid }) => ({ rev: data.rev, body: nsid.endsWith('getProfile') ? profile : { feed: [] } })
  const { data: own } = await agent.getProfile({ actor: did })
  assert.deepEqual([own.displayName, own.postsCount], ['Renamed', 2])
  const { data: timeline, headers } = await agent.getTimeline()
  assert.deepEqual(timeline.feed.map((item) => item.post.uri), [uri])
  assert.equal(timeline.feed[0].post.author.displayName, 'Renamed')
  assert(Number(headers['atproto-upstream-lag']) >= 0)
})

test('a service that is named is found by its document, and gets the body', { skip }, async () => {
  const { agent } = await newAccount()
  answer = () => ({ body: { convo: {} } })
  const chat = agent.withProxy('bsky_chat', appview)
  await chat.chat.bsky.convo.updateAllRead({ status: 'accepted' }).catch(() => {})
  const call = calls.at(-1)
  assert.deepEqual([call.nsid, call.method, call.body], ['chat.bsky.convo.updateAllRead', 'POST', '{"status":"accepted"}'])
  answer = () => ({ status: 400, body: { error: 'InvalidConvo', message: 'there is none' } })
  await fails(chat.chat.bsky.convo.getConvo({ convoId: 'x' }), 'InvalidConvo', 400)
  await fails(agent.chat.bsky.convo.getLog(), 'MethodNotImplemented', 501)
})

test('a service token is for a service of a DID, or for the DID', { skip }, async () => {
  const { did, server } = await newAccount()
  const lxm = 'app.bsky.feed.getTimeline'
  for (const aud of [appview, `${appview}#bsky_appview`]) {
    const { data } = await server.getServiceAuth({ aud, lxm })
    const payload = await verifyJwt(data.token, aud, lxm, (iss) => signingKey(iss))
    assert.equal(payload.iss, did)
    const other = aud.includes('#') ? appview : `${appview}#bsky_appview`
    await assert.rejects(verifyJwt(data.token, other, lxm, (iss) => signingKey(iss)))
  }
  await fails(server.getServiceAuth({ aud: appview, lxm: 'com.atproto.server.createAppPassword' }), 'InvalidRequest', 400)
})
