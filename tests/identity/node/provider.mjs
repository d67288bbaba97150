// npm oidc-provider, told to speak as a MitID broker (Signaturgruppen/NEB) does. Arguments: port, client as JSON.
// Environment: KEY, its private JWK; CPR, the person's test number; ABORT, when everybody stops at the log-in.
// Whoever comes is logged in as the one test person, at the level that `idp_params` asks for.
import Provider from "oidc-provider";

const [port, client] = [Number(process.argv[2]), JSON.parse(process.argv[3])];
const issuer = `http://127.0.0.1:${port}`;
const nsis = "https://data.gov.dk/concept/core/nsis/";
const jwk = { ...JSON.parse(process.env.KEY), use: "sig", alg: "ES256" };
const levels = new Map();

const provider = new Provider(issuer, {
  clients: [client],
  jwks: { keys: [jwk] },
  cookies: { keys: ["a secret of this test"] },
  scopes: ["openid", "mitid", "ssn"],
  claims: {
    openid: ["sub", "sid", "idp", "identity_type", "transaction_id", "loa", "ial", "aal"],
    mitid: ["mitid.uuid", "mitid.identity_name", "mitid.has_cpr"],
    ssn: ["dk.cpr"],
  },
  extraParams: ["idp_values", "idp_params", "language"],
  features: {
    devInteractions: { enabled: false },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => { ctx.body = `<!doctype html><html><body>${form}<button form="op.logoutForm" name="logout" value="yes">ok</button></body></html>`; },
    },
  },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({
      sub: id, idp: "mitid", identity_type: "private", transaction_id: "t-1",
      loa: nsis + (levels.get(id) ?? "Substantial"), ial: nsis + "High", aal: nsis + "High",
      "mitid.uuid": "74ffcd31-0000-4000-8000-000000000001", "mitid.identity_name": "Borger Prøve", "mitid.has_cpr": "true",
      "dk.cpr": process.env.CPR,
    }),
  }),
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope("openid mitid ssn");
    await grant.save();
    return grant;
  },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  // It refuses, by its dispatcher, to call addresses of this machine, where the gateway of this test is.
  fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
  pkce: { required: () => true },
});

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith("/interaction/")) return next();
  const { params } = await provider.interactionDetails(ctx.req, ctx.res);
  const asked = JSON.parse(params.idp_params ?? "{}").mitid?.loa_value ?? "substantial";
  levels.set("user-of-another", asked[0].toUpperCase() + asked.slice(1));
  if (process.env.ABORT) {
    return provider.interactionFinished(ctx.req, ctx.res, { error: "access_denied", error_description: "mitid_user_aborted" });
  }
  await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: "user-of-another" } });
});

for (const name of ["backchannel.error", "server_error"]) provider.on(name, (_, error) => console.error(name, String(error), error.cause ?? ""));
provider.listen(port, "127.0.0.1", () => console.log("listening"));
