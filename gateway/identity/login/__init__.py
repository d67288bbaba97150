"""Log-in: people, through an identity provider that the settings describe, into a session in one browser.

`door` has the addresses, `relying` the OpenID Connect conversation, `profiles` what each broker calls things, `sessions`
who is logged in. What comes out is an `identity.session.LogIn`, the same whichever provider it came through.
"""
