// A person in a real browser logs in at the local issuer and out again. Arguments: address, executable, folder for pictures, then.
import { chromium } from "playwright-core";

const [base, executablePath, folder, then] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const steps = [];
const complaints = [];

async function person(locale) {
  const context = await browser.newContext({ locale, viewport: { width: 720, height: 900 } });
  const page = await context.newPage();
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  return page;
}

async function seen(page, name) {
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
  const facts = await page.evaluate(() => ({
    lang: document.documentElement.lang,
    title: document.title,
    headings: [...document.querySelectorAll("h1")].map((each) => each.textContent),
    scripts: document.scripts.length,
    unlabelled: [...document.querySelectorAll("input:not([type=hidden])")].filter((each) => !each.labels.length).length,
    ungrouped: [...document.querySelectorAll("input[type=radio]")].filter((each) => !each.closest("fieldset")?.querySelector("legend")).length,
  }));
  steps.push({ name, ...facts });
}

for (const [locale, words] of Object.entries({
  "da-DK": { enter: "Log ind", abort: "Afbryd", who: /Borger 1/, out: "Log ud", low: /^\s*lav/, again: "Log ind på et højere niveau" },
  "en-GB": { enter: "Log in", abort: "Cancel", who: /Citizen 1/, out: "Log out", low: /^\s*low/, again: "Log in at a higher level" },
})) {
  const page = await person(locale);
  const name = (text) => `${locale.slice(0, 2)}-${text}`;
  await page.goto(`${base}/login`);
  await seen(page, name("choose"));
  await page.getByRole("button", { name: words.abort, exact: true }).click();
  await seen(page, name("aborted"));
  await page.goto(`${base}/login`);
  await page.getByLabel(words.who).check();
  await page.getByLabel(words.low).check();
  await page.getByRole("button", { name: words.enter, exact: true }).click();
  await seen(page, name("too-low"));
  await page.getByRole("link", { name: words.again }).click();
  await page.keyboard.press("Tab");
  await page.getByLabel(words.who).press("Space");  // by keyboard alone from here
  await page.getByLabel(words.who).press("Enter");
  await seen(page, name("done"));
  const cookies = await page.context().cookies();
  steps.push({ name: name("cookie"), cookie: cookies.find((each) => each.name === "sundbro") });
  steps.push({ name: name("script"), readable: await page.evaluate(() => document.cookie) });
  await page.goto(`${base}/login?then=${encodeURIComponent(then)}`);
  steps.push({ name: name("then"), url: page.url() });
  await page.goto(`${base}/logout`);
  await seen(page, name("logout"));
  await page.getByRole("button", { name: words.out, exact: true }).click();
  await seen(page, name("left"));
  await page.goto(`${base}/login`);
  steps.push({ name: name("asked-again"), url: page.url() });
}
await browser.close();
console.log(JSON.stringify({ steps, complaints }));
