// Credentials of a database that rotate: read from Secrets Manager, kept for a while, read again when refused.

async function fromSecretsManager(secretId) {
  const { SecretsManager } = await import("@aws-sdk/client-secrets-manager");
  const answer = await new SecretsManager().getSecretValue({ SecretId: secretId });
  return answer.SecretString;
}

// AWSCURRENT of one secret, kept for `keep` milliseconds: less than the rotation's min_interval.
export class Credentials {
  constructor(secretId, { keep = 300_000, read = fromSecretsManager } = {}) {
    Object.assign(this, { secretId, keep, read });
    this.forget();
  }

  async current() {
    if (performance.now() >= this.until) {
      this.document = JSON.parse(await this.read(this.secretId));
      this.until = performance.now() + this.keep;
    }
    return this.document;
  }

  forget() {
    this.document = undefined;
    this.until = -Infinity;
  }
}

// Opens a connection. Refused credentials are read again, and tried once more.
export async function connect(credentials, open, isRefused) {
  try {
    return await open(await credentials.current());
  } catch (error) {
    if (!isRefused(error)) throw error;
  }
  credentials.forget();
  return open(await credentials.current());
}
