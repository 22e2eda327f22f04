// Asks the server. Seq ids are strings there, and BigInt here: they go beyond what a number holds.

export class Refused extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.kind = error.kind;
  }
}

async function ask(method, path, parameters, signal) {
  const given = Object.entries(parameters ?? {}).filter(([, value]) => value !== undefined);
  const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
  const url = given.length ? `/api/v1/${path}?${query}` : `/api/v1/${path}`;
  const response = await fetch(url, { method, signal, cache: "no-store" });
  if (response.status === 401) {
    location.reload();
  }
  const value = await response.json();
  if (!response.ok) {
    throw new Refused(response.status, value.error ?? { message: response.statusText });
  }
  return value;
}

export const get = (path, parameters, signal) => ask("GET", path, parameters, signal);
export const post = (path) => ask("POST", path);
