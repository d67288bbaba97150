// People in a real browser who use the app: one scenario a run. Arguments: scenario, JSON. Prints what the app saw, as JSON.
import { chromium } from "playwright-core";

const [scenario, given] = process.argv.slice(2);
const { gateway, executablePath, pictures, ...asked } = JSON.parse(given);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const pages = [];
const complaints = [];
const words = {
  "da-DK": { enter: "Log ind", yes: "Giv adgang", no: "Afvis", out: "Log ud" },
  "en-GB": { enter: "Log in", yes: "Give access", no: "Refuse", out: "Log out" },
};

async function person(locale) {
  const context = await browser.newContext({ locale, viewport: { width: 720, height: 900 } });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  return page;
}

async function seen(page, name) {
  await page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true });
  pages.push({
    name,
    ...(await page.evaluate(() => ({
      lang: document.documentElement.lang,
      headings: [...document.querySelectorAll("h1")].map((each) => each.textContent),
      text: document.body.innerText,
      scripts: document.scripts.length,
      unlabelled: [...document.querySelectorAll("input:not([type=hidden]), textarea")].filter((each) => !each.labels.length).length,
      wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    }))),
  });
}

// From the app's first page to the app again; `decision` null where nobody is asked.
async function launched(page, address, who, decision, name) {
  const { enter } = words[await page.evaluate(() => navigator.language)];
  await page.goto(address);
  await page.waitForURL(`${gateway}/local-issuer/**`);
  await seen(page, `${name}-log-in`);
  await page.getByLabel(new RegExp(`^\\s*${who}`)).check();
  await page.getByRole("button", { name: enter, exact: true }).click();
  if (decision) {
    await page.waitForURL(`${gateway}/oauth/**`);
    await seen(page, `${name}-consent`);
    await page.getByRole("button", { name: decision, exact: true }).click();
  }
  await page.waitForURL(`${asked.app}/**`);
  await page.waitForFunction(() => document.querySelector("[role=status]").textContent !== "…");
}

// What the app's page shows, and what fhirclient knows.
const shown = (page) =>
  page.evaluate(() => ({
    status: document.querySelector("[role=status]").textContent,
    listed: [...document.querySelectorAll("li")].map((each) => each.textContent),
    ...(window.client && {
      patient: client.patient.id,
      encounter: client.encounter.id,
      fhirUser: client.getFhirUser(),
      idToken: client.getIdToken(),
      response: client.state.tokenResponse,
    }),
  }));

// Addresses as fhirclient asks them: the status where it is refused, else whose record and how many.
const answers = (page, addresses) =>
  page.evaluate(
    (each) =>
      Promise.all(
        each.map((address) =>
          client.request(address).then(
            (found) => (found.resourceType === "Bundle" ? (found.entry ?? []).map(({ resource }) => `${resource.resourceType}/${resource.id}`) : found.id),
            (error) => error.status ?? error.message,
          ),
        ),
      ),
    addresses,
  );

// The status of a plain question with the app's token: fhirclient would refresh a token that does not hold.
const plain = (page) =>
  page.evaluate(async () => {
    const headers = { authorization: `Bearer ${client.state.tokenResponse.access_token}` };
    return (await fetch(`${client.state.serverUrl}/Patient/${client.patient.id}`, { headers })).status;
  });

const refreshed = (page) =>
  page.evaluate(async () => {
    const before = { ...client.state.tokenResponse };
    try {
      await client.refresh();
    } catch (error) {
      return { error: error.message };
    }
    const { access_token, refresh_token } = client.state.tokenResponse;
    return { access: access_token !== before.access_token, rotated: refresh_token !== before.refresh_token };
  });

async function leave(page) {
  const { out } = words[await page.evaluate(() => navigator.language)];
  const other = await page.context().newPage();
  await other.goto(`${gateway}/logout`);
  await other.getByRole("button", { name: out, exact: true }).click();
  await other.waitForURL(`${gateway}/logout/done`);
}

const scenarios = {
  // The app is opened by its user, who is asked; then it is used and refreshed.
  async standalone() {
    const page = await person(asked.locale);
    await launched(page, asked.address, asked.who, words[asked.locale].yes, asked.name);
    const first = await shown(page);
    return { ...first, answers: await answers(page, asked.addresses), refreshed: await refreshed(page), after: await answers(page, asked.addresses) };
  },
  async refused() {
    const page = await person(asked.locale);
    await launched(page, asked.address, asked.who, words[asked.locale].no, asked.name);
    return shown(page);
  },
  // A health record opens the app for a professional, whose organisation has agreed.
  async ehr() {
    const page = await person(asked.locale);
    await launched(page, asked.address, asked.who, null, asked.name);
    return { ...(await shown(page)), answers: await answers(page, asked.addresses) };
  },
  // The user logs out at the gateway while the app is open.
  async left() {
    const page = await person(asked.locale);
    await launched(page, asked.address, asked.who, words[asked.locale].yes, asked.name);
    const before = { ...(await shown(page)), plain: await plain(page), refreshed: await refreshed(page), again: await plain(page) };
    await leave(page);
    const after = await refreshed(page);
    const began = Date.now();
    let status = await plain(page);
    while (status === 200 && Date.now() - began < 70_000) {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      status = await plain(page);
    }
    return { before, after, plain: status, seconds: (Date.now() - began) / 1000 };
  },
};

try {
  const told = await scenarios[scenario]();
  console.log(JSON.stringify({ ...told, pages, complaints }));
} catch (error) {
  const at = browser.contexts().flatMap((context) => context.pages());
  for (const page of at) console.error(page.url(), await page.evaluate(() => document.body.innerText).catch(() => ""));
  console.error(error, complaints);
  process.exitCode = 1;
} finally {
  await browser.close();
}
