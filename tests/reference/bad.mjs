// The same mistakes at every method.

import { METHODS } from './methods.mjs'
import { badInputs } from './mutations.mjs'
import { basic, forged, lexicon } from './world.mjs'

/** A good call of a method, as it is made by who may. */
function good(w, { auth, by = 'alice', verb, params, input }) {
  const header = { access: w[by].access, refresh: w[by].refresh, admin: w.admin }[auth]
  return { auth: header, verb, params: params?.(w), body: input?.(w) }
}

/** Callers who are not who the method is for. */
function strangers(w, auth) {
  const all = { nobody: undefined, 'a token that is none': 'Bearer nonsense', 'another scheme': 'Digest x' }
  if (auth === 'access') Object.assign(all, { 'a refresh token': w.alice.refresh, 'a forged token': forged(w.alice.access), 'the admin': w.admin })
  if (auth === 'refresh') Object.assign(all, { 'an access token': w.alice.access, 'a forged token': forged(w.alice.refresh) })
  if (auth === 'admin') Object.assign(all, { 'an account': w.alice.access, 'a wrong password': basic('wrong') })
  return all
}

export async function mistakes(w) {
  for (const [nsid, method] of Object.entries(METHODS)) {
    const { auth, input, verb, changes } = method
    await w.fresh(w[method.by ?? 'alice'])
    const call = () => good(w, method)
    const isPost = input !== undefined || verb === 'POST'
    for (const [who, header] of Object.entries(auth ? strangers(w, auth) : {})) {
      await w.ask(`by ${who}`, nsid, { ...call(), auth: header })
    }
    if (!changes) await w.ask('as it should be', nsid, call())
    await w.fresh(w[method.by ?? 'alice'])
    if (isPost) await w.ask('by GET', nsid, { ...call(), body: undefined, verb: 'GET' })
    else await w.ask('by POST', nsid, { ...call(), verb: 'POST' })
    await w.ask('by PUT', nsid, { ...call(), verb: 'PUT' })
    const { parameters, input: payload } = lexicon(nsid)
    if (input) {
      const text = JSON.stringify(input(w))
      await w.ask('input of another type', nsid, { ...call(), body: text, type: 'text/plain' })
      await w.ask('input without a type', nsid, { ...call(), body: text, type: '' })
      await w.ask('input that is no JSON', nsid, { ...call(), body: '{"a":', type: 'application/json' })
      await w.ask('input that is a list', nsid, { ...call(), body: [] })
      await w.ask('input that is a text', nsid, { ...call(), body: 'words' })
      await w.ask('no input', nsid, { ...call(), body: undefined, verb: 'POST' })
      await w.ask('an input of nothing', nsid, { ...call(), body: {} })
      for (const [what, body] of badInputs(payload.schema.shape, () => input(w), false)) await w.ask(what, nsid, { ...call(), body })
    } else {
      const make = () => method.params?.(w) ?? {}
      for (const [what, params] of badInputs(parameters.shape, make, true)) await w.ask(what, nsid, { ...call(), params })
      if (!changes) await w.ask('a parameter that is none', nsid, { ...call(), params: { ...make(), unheardOf: 'x' } })
    }
  }
  for (const nsid of ['com.example.unknown', 'com.atproto.server.unknown']) {
    for (const verb of ['GET', 'POST', 'PUT', 'OPTIONS']) {
      await w.ask(`by ${verb}`, nsid, { verb })
      if (verb !== 'OPTIONS') await w.ask(`by ${verb} of an account`, nsid, { verb, auth: w.alice.access })
    }
  }
  await w.ask('no name of a method', 'nonsense')
  await w.ask('no name at all', '')
}
