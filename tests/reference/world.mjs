// One of the two servers, and the accounts that the calls are made with.

import { randomBytes } from 'node:crypto'
import { jsonToLex } from '@atproto/lex-json'
import { app, com } from '@atproto/pds'

export const password = 'correct horse battery'
export const nobody = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
export const noCid = 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a'

/** Headers that programs act on; the rest is the server's own. */
const HEADERS = ['content-type', 'www-authenticate', 'content-disposition', 'x-content-type-options', 'content-security-policy']

const mediaType = (name, value) => (name === 'content-type' ? value.split(';')[0] : value)

/** What the protocol says of a method, by its name. */
export const lexicon = (nsid) => nsid.split('.').reduce((found, part) => found?.[part], { com, app })?.main

/** What is wrong with an answer by the lexicon of its method. */
function complaint(nsid, json) {
  const schema = lexicon(nsid)?.output?.schema
  if (!schema) return undefined
  const { success, reason } = schema.safeParse(jsonToLex(json))
  return success ? undefined : reason.message
}

export const bearer = (token) => `Bearer ${token}`

export class World {
  answers = new Map()
  #accounts = 0
  #number = 0

  constructor(name, url, adminPassword, mailbox) {
    this.name = name
    this.url = url
    this.mailbox = mailbox
    this.admin = basic(adminPassword)
  }

  /** A number that was not given yet. */
  next = () => ++this.#number

  newHandle = (name = 'user') => `${name}-${++this.#accounts}.test`

  /** Makes one call. `body` is sent as JSON, unless `type` says what it is; `auth` is the whole header. */
  async call(nsid, { verb, params = {}, body, auth, type, headers = {} } = {}) {
    const query = new URLSearchParams()
    for (const [name, value] of Object.entries(params)) for (const item of [value].flat()) query.append(name, item)
    const isJson = body !== undefined && type === undefined
    const response = await fetch(`${this.url}/xrpc/${nsid}?${query}`, {
      method: verb ?? (body === undefined ? 'GET' : 'POST'),
      headers: { ...(isJson ? { 'content-type': 'application/json' } : type ? { 'content-type': type } : {}), ...(auth ? { authorization: auth } : {}), ...headers },
      // As bytes, for which nothing adds a type.
      body: body === undefined ? undefined : Buffer.from(isJson ? JSON.stringify(body) : body),
    })
    const bytes = Buffer.from(await response.arrayBuffer())
    const all = HEADERS.flatMap((name) => (response.headers.has(name) ? [[name, mediaType(name, response.headers.get(name))]] : []))
    let json = bytes.length ? 'bytes' : undefined
    if (mediaType('content-type', response.headers.get('content-type') ?? '') === 'application/json') json = JSON.parse(bytes.toString())
    const wrong = response.ok && json ? complaint(nsid, json) : undefined
    if (wrong) all.push(['lexicon', wrong])
    return { status: response.status, error: response.ok ? undefined : json?.error ?? 'no name', headers: Object.fromEntries(all), json, bytes }
  }

  /** A call that is compared. */
  async ask(id, nsid, options) {
    const answer = await this.call(nsid, options)
    const name = `${nsid}: ${id}`
    if (this.answers.has(name)) throw new Error(`${name} is asked twice`)
    this.answers.set(name, answer)
    return answer
  }

  /** A call that is not compared, and has to succeed. */
  async must(nsid, options) {
    const answer = await this.call(nsid, options)
    if (answer.status !== 200) throw new Error(`${this.name}: ${nsid}: ${answer.status} ${JSON.stringify(answer.json)}`)
    return answer.json
  }

  /** A new account: its DID, handle, tokens and address. */
  async account(name) {
    const handle = this.newHandle(name)
    const email = `${handle.split('.')[0]}@example.com`
    const { did, accessJwt, refreshJwt } = await this.must('com.atproto.server.createAccount', { body: { handle, email, password } })
    return { did, handle, email, access: bearer(accessJwt), refresh: bearer(refreshJwt) }
  }

  /** The account with tokens that are good: where something of it ended, a server may want to see the refresh token. */
  async fresh(account) {
    const { status } = await this.call('com.atproto.server.getSession', { auth: account.access })
    if (status === 200) return account
    const { accessJwt, refreshJwt } = await this.must('com.atproto.server.refreshSession', { auth: account.refresh, verb: 'POST' })
    return Object.assign(account, { access: bearer(accessJwt), refresh: bearer(refreshJwt) })
  }
}

export const basic = (secret) => `Basic ${Buffer.from(`admin:${secret}`).toString('base64')}`

/** A token whose signature is another's. */
export const forged = (header) => `${header.slice(0, header.lastIndexOf('.') + 1)}${randomBytes(32).toString('base64url')}`
