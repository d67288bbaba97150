"""The local issuer's own OpenID provider, which speaks as a MitID broker (Signaturgruppen/NEB) does. For development only.

The gateway logs its people in through it by the same code as through a real broker (`identity.login`).
"""
