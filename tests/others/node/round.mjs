// What a user of npm fhir-kit-client does, against the API at argv[2] with the token argv[3]. Prints {"steps": n}.
import assert from "node:assert/strict";
import { Client } from "fhir-kit-client";

const [, , baseUrl, token] = process.argv;
const client = new Client({ baseUrl, bearerToken: token });
let steps = 0;
const step = async (name, work) => {
  try {
    await work();
    steps += 1;
  } catch (error) {
    console.error(name, error.response?.status, JSON.stringify(error.response?.data ?? String(error)));
    process.exit(1);
  }
};

let made, changed;
await step("capabilities", async () => assert.equal((await client.capabilityStatement()).fhirVersion, "4.0.1"));
await step("create", async () => {
  made = await client.create({
    resourceType: "Patient",
    body: { resourceType: "Patient", name: [{ family: "Kit", given: ["Una"] }], birthDate: "1961-07-08" },
  });
  assert.ok(made.id);
});
await step("read", async () => assert.equal((await client.read({ resourceType: "Patient", id: made.id })).name[0].family, "Kit"));
await step("update", async () => {
  changed = await client.update({ resourceType: "Patient", id: made.id, body: { ...made, active: true } });
  assert.equal(changed.meta.versionId, "2");
});
await step("patch", async () => {
  const patched = await client.patch({
    resourceType: "Patient",
    id: made.id,
    jsonPatch: [{ op: "replace", path: "/active", value: false }],
  });
  assert.equal(patched.active, false);
});
await step("vread", async () =>
  assert.equal((await client.vread({ resourceType: "Patient", id: made.id, version: "2" })).active, true));
await step("history", async () => {
  assert.equal((await client.history({ resourceType: "Patient", id: made.id })).entry.length, 3);
  assert.equal((await client.history({ resourceType: "Patient" })).type, "history");
  assert.equal((await client.history()).type, "history");
});
await step("search and pages", async () => {
  const search = { resourceType: "Observation", searchParams: { code: "85354-9", _count: 10 } };
  let page = await client.search(search);
  let seen = page.entry.length;
  while ((page = await client.nextPage({ bundle: page }))) seen += page.entry.length;
  assert.equal(seen, 24);
});
await step("search by POST", async () => {
  const found = await client.resourceSearch({
    resourceType: "Patient",
    searchParams: { family: "kit" },
    options: { postSearch: true },
  });
  assert.ok(found.entry.length >= 1);
});
await step("system search", async () => {
  const found = await client.systemSearch({ searchParams: { _type: "Patient,Observation", _count: 3 } });
  assert.equal(found.type, "searchset");
});
await step("compartment search", async () => {
  const found = await client.compartmentSearch({
    resourceType: "Observation",
    compartment: { resourceType: "Patient", id: "ward-1" },
  });
  assert.equal(found.entry.length, 4);
});
await step("batch and transaction", async () => {
  const entry = (url) => ({ request: { method: "GET", url } });
  const answer = await client.batch({
    body: { resourceType: "Bundle", type: "batch", entry: [entry("Patient/ward-1"), entry("Patient/none-of-this-id")] },
  });
  assert.deepEqual(answer.entry.map((one) => one.response.status.slice(0, 3)), ["200", "404"]);
  const body = {
    resourceType: "Bundle",
    type: "transaction",
    entry: [
      {
        fullUrl: "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a",
        resource: { resourceType: "Patient", name: [{ family: "Kit" }] },
        request: { method: "POST", url: "Patient" },
      },
      {
        fullUrl: "urn:uuid:88f151c0-a954-468a-88bd-5ae15c08e059",
        resource: {
          resourceType: "Observation",
          status: "final",
          code: { text: "mood" },
          subject: { reference: "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a" },
        },
        request: { method: "POST", url: "Observation" },
      },
    ],
  };
  const done = await client.transaction({ body });
  assert.ok(done.entry.every((one) => one.response.status.startsWith("201")));
});
await step("operation", async () => {
  const everything = await client.operation({ name: "$everything", resourceType: "Patient", id: "ward-1", method: "get" });
  assert.ok(everything.entry.length >= 5);
});
await step("delete", async () => {
  await client.delete({ resourceType: "Patient", id: made.id });
  await assert.rejects(client.read({ resourceType: "Patient", id: made.id }), (error) => error.response.status === 410);
});
console.log(JSON.stringify({ steps }));
